// The pane of catalog events.

import { live } from "./api.js";

const MOST = 40;
const AGAIN_MS = 3000;

export async function watch(list, empty, rate) {
  const shown = new Map();
  const took = [];
  for (;;) {
    try {
      for await (const event of live()) {
        empty.hidden = true;
        note(list, shown, event);
        if (event.state === "searchable") {
          took.push(event.after_ms);
          rate.textContent = `searchable after ${seconds(median(took.slice(-50)))}`;
        }
      }
    } catch (problem) {
      if (problem.status === 401 || problem.status === 403) return;
    }
    await new Promise((again) => setTimeout(again, AGAIN_MS));
  }
}

function note(list, shown, event) {
  const place = `${event.topic} ${event.event_id}`;
  let row = shown.get(place);
  if (!row) {
    row = document.createElement("li");
    row.append(document.createElement("b"), document.createElement("span"));
    shown.set(place, row);
    list.prepend(row);
    while (list.children.length > MOST) list.lastElementChild.remove();
    if (shown.size > 10 * MOST) shown.delete(shown.keys().next().value);
  }
  row.firstChild.textContent = event.product_id;
  row.firstChild.title = event.product_id;
  const state = row.lastChild;
  state.className = `state ${event.state}`;
  state.textContent = event.after_ms === undefined ? "arrived" : `${event.state} · ${seconds(event.after_ms)}`;
  state.title = event.reason ?? "";
}

function seconds(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}
