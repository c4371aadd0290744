// Cloudflare's TypeScript SDK against the server named in the environment: create, poll, page and cancel a crawl.
import Cloudflare from "cloudflare";

const { BASE_URL, TOKEN, ACCOUNT, SEED, ENDLESS } = process.env;
const client = new Cloudflare({ apiToken: TOKEN, baseURL: BASE_URL, maxRetries: 0 });
const crawls = client.browserRendering.crawl;

const id = await crawls.create({ account_id: ACCOUNT, url: SEED, render: false, limit: 5 });
let answer;
do {
  await new Promise((done) => setTimeout(done, 100));
  answer = await crawls.get(id, { account_id: ACCOUNT, limit: 50 });
} while (answer.status === "running");

const urls = [];
let cursor;
do {
  const page = await crawls.get(id, { account_id: ACCOUNT, limit: 2, ...(cursor && { cursor }) });
  urls.push(...page.records.map((record) => record.url));
  cursor = page.cursor;
} while (cursor);

const endless = await crawls.create({ account_id: ACCOUNT, url: ENDLESS, render: false });
const gone = await crawls.delete(endless, { account_id: ACCOUNT });
const again = await crawls.delete(endless, { account_id: ACCOUNT }).then(
  () => 200,
  (error) => error.status,
);
console.log(JSON.stringify({ status: answer.status, total: answer.total, urls, cancelled: gone.job_id === endless, again }));
