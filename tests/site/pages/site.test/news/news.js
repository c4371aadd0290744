// The list of articles exists only after this ran: a crawler that does not render finds no article.
const target = document.querySelector("#news");
showNews();

async function showNews() {
  const articles = await (await fetch("/news/news.json")).json();
  const list = document.createElement("ul");
  for (const { url, date, title } of articles) {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = url;
    link.textContent = title;
    item.append(`${date}: `, link);
    list.append(item);
  }
  target.replaceChildren(list);
  document.documentElement.dataset.ready = "";
}
