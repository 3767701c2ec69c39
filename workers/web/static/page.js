// The page: what is asked, and what comes back.

import { Problem, click, ready, search, setKey } from "./api.js";
import { percent, show, showWaiting } from "./items.js";
import { watch } from "./live.js";
import { Picture } from "./picture.js";

const HEALTH_MS = 10_000;
const UNSURE = 0.5;

const status = document.getElementById("status");
const items = document.getElementById("items");
const words = document.getElementById("words");
let running = null;

const picture = new Picture(() => run(), (why) => tell(why, "problem"));

function tell(text, kind = "") {
  status.className = kind;
  status.textContent = text;
}

async function run() {
  const text = words.value.trim();
  if (!picture.file && !text) {
    tell("Give a picture, words, or both.");
    return;
  }
  running?.abort();
  const mine = (running = new AbortController());
  tell("Searching…");
  showWaiting(items);
  const began = performance.now();
  try {
    const result = await search({ top: 24, ...(text && { text }) }, await picture.sendable(), mine.signal);
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
  show(items, result, {
    click: (query_id, product_id) => click(query_id, product_id).catch(() => {}),
    buttons: () => [],
  });
  const found = result.items;
  if (!found.length) {
    tell("Nothing found. Is the catalog empty? `lookstream produce DIR` sends one.", "nomatch");
    return;
  }
  const best = found[0].probability ?? found[0].score;
  const time = `${Math.round(ms)} ms`;
  if (result.no_match || best < UNSURE) {
    tell(`Probably none of these is the very product (the first one with ${percent(best)}). The nearest ones, ${time}:`, "nomatch");
  } else {
    tell(`${found.length} products, best first · ${time}`);
  }
}

function askKey() {
  tell("This server asks for an API key.", "problem");
  document.getElementById("ask-key").showModal();
}

document.querySelector("#ask-key form").addEventListener("submit", () => {
  setKey(document.getElementById("key").value.trim());
  run();
  watchCatalog();
});

document.getElementById("query").addEventListener("submit", (event) => {
  event.preventDefault();
  run();
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

health();
watchCatalog();
