// Builds the page and its links some time after `load`, and changes the title.
const piers = { "marsh-quay": "Marsh Quay", "great-skerry": "Great Skerry", "gull-stack": "Gull Stack" };

setTimeout(() => {
  const app = document.querySelector("#app");
  const lead = document.createElement("p");
  lead.textContent = `Boats leave from ${Object.keys(piers).length} piers at this hour.`;
  app.append(lead);
  for (const [name, text] of Object.entries(piers)) {
    const link = document.createElement("a");
    link.href = `/app/${name}.html`;
    link.textContent = text;
    app.append(link, document.createElement("br"));
  }
  document.title = "Live departures, now · Saltmarsh Ferries";
  document.documentElement.dataset.ready = "";
}, 50);
