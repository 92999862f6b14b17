// Where the API is: what the build (or the deploy) put into the page, else the site's own /api.
const given = document.querySelector('meta[name="api-base"]').content;
const api = given.startsWith("%") ? "/api" : given;

const show = (text) => {
  const banner = document.getElementById("banner");
  banner.textContent = text;
  banner.hidden = !text;
};

const ask = async (path, options) => {
  const answer = await fetch(api + path, options);
  if (!answer.ok) throw new Error(`The API answered ${answer.status}`);
  return answer.json();
};

const load = async () => {
  const { items } = await ask("/items");
  const rows = items.map(({ name }) => Object.assign(document.createElement("li"), { textContent: name }));
  document.getElementById("items").replaceChildren(...rows);
};

document.getElementById("add").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = new FormData(event.target).get("name");
  try {
    await ask("/items", { method: "POST", body: JSON.stringify({ name }), headers: { "Content-Type": "application/json" } });
    event.target.reset();
    await load();
  } catch (error) {
    show(error.message);
  }
});

// Maintenance windows announce themselves by /banner.json; without one there is nothing to show.
fetch("/banner.json").then((answer) => (answer.ok ? answer.json() : {})).then(({ text }) => show(text ?? ""), () => {});
load().catch((error) => show(error.message));
