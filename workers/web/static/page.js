// The page: what is asked, and what comes back.

import { Problem, click, ready, search, setKey } from "./api.js";
import { percent, show, showWaiting } from "./items.js";
import { watch } from "./live.js";
import { Objects } from "./objects.js";
import { Picture } from "./picture.js";
import { Refine } from "./refine.js";

const HEALTH_MS = 10_000;
const TOP = 24;
const REACHABLE = 1000; // products that pages go to

const status = document.getElementById("status");
const items = document.getElementById("items");
const words = document.getElementById("words");
const sort = document.getElementById("sort");
let running = null;
let page = 1;
let repair = true; // words that no product has may be repaired
let like = null; // the product that more is asked of, in place of picture and words

const picture = new Picture(() => { objects.clear(); begin(); }, (why) => tell(why, "problem"));
const objects = new Objects(() => { picture.setBox(null); begin(); });
const refine = new Refine(() => run(1));

function tell(text, kind = "") {
  status.className = kind;
  status.textContent = text;
}

// Another question: what was chosen for the last one does not count.
function begin() {
  start(null);
}

function start(product) {
  like = product;
  objects.chosen = null;
  repair = true;
  refine.clear();
  run(1);
}

function question(text) {
  const filter = refine.filter();
  return {
    top: TOP, page, sort: sort.value, group: "near_duplicate", explain: true, facets: refine.asked,
    ...(like ? { like: [like.id] } : text && { text, repair }), ...(filter && { filter }),
    ...(picture.file && !like && objects.asked && { objects: "auto" }),
  };
}

async function run(wanted) {
  const text = words.value.trim();
  if (!picture.file && !text && !like) {
    tell("Give a picture, words, or both.");
    return;
  }
  page = wanted;
  running?.abort();
  const mine = (running = new AbortController());
  tell("Searching…");
  showWaiting(items);
  document.getElementById("pages").hidden = true;
  document.getElementById("not-reranked").hidden = true;
  tellRepaired();
  const began = performance.now();
  try {
    const result = await search(question(text), like ? null : await picture.sendable(), mine.signal);
    answer(result, performance.now() - began);
  } catch (problem) {
    if (problem.name === "AbortError") return;
    items.replaceChildren();
    if (problem.status === 401) askKey();
    else tell(problem instanceof Problem ? problem.message : "The page failed; its console says why.", "problem");
    if (!(problem instanceof Problem)) console.error(problem);
  }
}

function answer(result, ms) {
  objects.show(result.groups, () => list(result, ms));
  if (!like) picture.setKept(result.juice);
  list(result, ms);
}

// The products of a result, or of one object in it.
function list(whole, ms) {
  const result = objects.part(whole);
  show(items, result, {
    patch: picture.file && !like ? (number) => picture.patch(result.juice.grid, number) : null,
    click: (query_id, product_id) => click(query_id, product_id).catch(() => {}),
    like: (item) => { start({ id: item.product_id, title: item.title || item.product_id }); },
    alike: (product_ids) => { refine.only(product_ids); run(1); },
  });
  if (result.items.length || refine.filter()) {
    refine.show(result.facets ?? []);
    document.getElementById("order").hidden = false;
  }
  const late = document.getElementById("not-reranked");
  late.textContent = result.not_reranked ?? "";
  late.hidden = !result.not_reranked;
  turn(result);
  tellRepaired(result.searched_for);
  summary(result, ms);
}

function tellRepaired(words = null) {
  document.getElementById("searched-for").textContent = words ?? "";
  document.getElementById("repaired").hidden = words === null;
}

document.getElementById("as-typed").addEventListener("click", async () => {
  repair = false;
  await run(1);
  document.getElementById("results").focus();
});

function summary(result, ms) {
  const found = result.found ?? result.items.length;
  const time = `${Math.round(ms)} ms`;
  const alone = objects.asked && picture.file && !result.groups?.length ? "The picture shows one product, or none that stands out. " : "";
  if (!result.items.length) {
    const why = refine.filter() ? "No product passes the filter." : "Nothing found. Is the catalog empty? `lookstream produce DIR` sends one.";
    tell(why, "nomatch");
  } else if (like) {
    tell(`More like “${like.title}” · ${time}`);
  } else if (result.no_match && sort.value === "relevance" && page === 1) {
    const first = percent(result.items[0].probability ?? 0);
    tell(`${alone}Probably none of these is the very product (the first one with ${first}). The nearest ones, ${time}:`, "nomatch");
  } else {
    tell(`${alone}${found} ${found === 1 ? "product" : "products"} · ${time}`);
  }
}

function turn(result) {
  const last = Math.ceil(Math.min(result.found ?? 0, REACHABLE) / TOP);
  document.getElementById("pages").hidden = last < 2;
  document.getElementById("page-number").textContent = `Page ${page} of ${last}`;
  document.getElementById("previous").disabled = page <= 1;
  document.getElementById("next").disabled = page >= last || result.items.length === 0;
}

for (const [id, step] of [["previous", -1], ["next", 1]]) {
  document.getElementById(id).addEventListener("click", async () => {
    await run(page + step);
    document.getElementById("results").focus();
  });
}

sort.addEventListener("change", () => run(1));

function askKey() {
  tell("This server asks for an API key.", "problem");
  document.getElementById("ask-key").showModal();
}

document.querySelector("#ask-key form").addEventListener("submit", () => {
  setKey(document.getElementById("key").value.trim());
  run(1);
  watchCatalog();
});

document.getElementById("query").addEventListener("submit", (event) => {
  event.preventDefault();
  begin();
});

function watchCatalog() {
  watch(
    document.getElementById("live-events"),
    document.getElementById("live-empty"),
    document.getElementById("live-rate"),
  );
}

async function health() {
  const corner = document.getElementById("health");
  const text = document.getElementById("health-text");
  try {
    const report = await ready();
    corner.dataset.state = report.ready ? "ok" : "bad";
    const behind = report.broker.ingest_lag;
    text.textContent = report.ready
      ? behind ? `ready · ${behind} changes to come` : "ready"
      : "not ready";
    corner.title = report.broker.error ?? report.search.error ?? report.search.model_id ?? "";
  } catch {
    corner.dataset.state = "bad";
    text.textContent = "no answer";
  }
  setTimeout(health, HEALTH_MS);
}

// Beside the results there is room for what refines them; above them it waits to be opened.
const wide = matchMedia("(min-width: 1001px)");
const unfold = () => { document.getElementById("refine-more").open = wide.matches; };
wide.addEventListener("change", unfold);

unfold();
health();
watchCatalog();
