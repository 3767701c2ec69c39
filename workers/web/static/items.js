// Results as cards.

import { patchOf } from "./picture.js";

const LEVELS = ["the product", "same kind", "same purpose", "other"];

export function show(list, result, actions) {
  const template = document.getElementById("item");
  list.replaceChildren(...result.items.map((item) => card(template, item, result, actions)));
}

export function showWaiting(list) {
  list.replaceChildren(...Array.from({ length: 8 }, () => {
    const waiting = document.createElement("li");
    waiting.className = "skeleton";
    waiting.setAttribute("aria-hidden", "true");
    return waiting;
  }));
}

function card(template, item, result, actions) {
  const root = template.content.firstElementChild.cloneNode(true);
  const title = item.title || item.product_id;
  root.classList.add(`level-${item.level}`);
  root.querySelector(".title").textContent = title;
  root.querySelector(".badge").textContent = LEVELS[item.level];
  const probability = item.probability ?? item.score;
  root.querySelector(".probability").textContent = percent(probability);
  root.querySelector("meter").value = probability;
  const told = [(item.category ?? []).join(" › "), item.by_words && "compared by its words alone"];
  root.querySelector(".path").textContent = told.filter(Boolean).join(" · ");
  offer(root.querySelector(".offer"), item);
  const link = root.querySelector(".shot");
  const picture = link.querySelector("img");
  if (item.image_url) {
    picture.src = item.image_url;
    picture.alt = `Picture of ${title}`;
    link.href = item.image_url;
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    picture.addEventListener("error", () => { link.classList.add("none"); picture.remove(); });
  } else {
    link.classList.add("none");
    link.removeAttribute("href");
    picture.remove();
  }
  link.addEventListener("click", () => actions.click(result.query_id, item.product_id));
  const buttons = root.querySelector(".actions");
  buttons.append(button("More like this", title, () => actions.like(item)));
  if (item.why?.length) buttons.append(whyButton(root, item, result, result.juice && actions.patch));
  if (item.also_seen) {
    const others = [item.product_id, ...(item.near_duplicates ?? [])];
    buttons.append(button(`+ ${item.also_seen} alike`, title, () => actions.alike(others)));
  }
  return root;
}

function button(label, title, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "quiet";
  made.textContent = label;
  made.setAttribute("aria-label", `${label}: ${title}`);
  made.addEventListener("click", act);
  return made;
}

// What raised and lowered it, as bars: of the reranker's features those that moved it most.
function whyButton(root, item, result, patch) {
  const toggle = button("Why?", item.title || item.product_id, () => {
    const there = root.querySelector(".why");
    toggle.setAttribute("aria-expanded", String(!there));
    root.classList.toggle("explained", !there);
    if (there) there.remove();
    else root.querySelector(".facts").append(why(item, result.items, root.querySelector(".shot img"), patch));
  });
  toggle.setAttribute("aria-expanded", "false");
  return toggle;
}

function why(item, items, picture, patch) {
  const list = document.createElement("dl");
  const moved = item.why.filter((one) => one.contribution);
  moved.sort((one, other) => Math.abs(other.contribution) - Math.abs(one.contribution));
  const most = Math.max(...moved.map((one) => Math.abs(one.contribution)), 1e-9);
  for (const one of moved.slice(0, 6)) {
    const name = document.createElement("dt");
    name.textContent = one.feature.replaceAll("_", " ");
    const value = document.createElement("dd");
    const bar = document.createElement("div");
    bar.className = one.contribution < 0 ? "bar minus" : "bar";
    bar.style.width = `${(100 * Math.abs(one.contribution)) / most}%`;
    const amount = `${one.contribution < 0 ? "lowers" : "raises"} it by ${Math.abs(one.contribution).toFixed(2)}`;
    bar.setAttribute("role", "img");
    bar.setAttribute("aria-label", amount);
    bar.title = amount;
    value.append(bar);
    list.append(name, value);
  }
  const box = document.createElement("div");
  box.className = "why";
  box.append(list);
  if (item.compared) box.append(compared(item.compared, items));
  const told = suggested(item.suggested);
  if (told) box.append(told);
  if (patch && picture && item.patches) box.append(matches(item.patches, picture, patch));
  return box;
}

// How it stood among those that the reranker compared with it side by side.
function compared({ chunk, place, size, score, null: none, ahead_of, decided_by }, items) {
  const made = document.createElement("p");
  made.className = "compared";
  const next = items.find((one) => one.product_id === ahead_of)?.title || ahead_of;
  const ahead = next ? `, ahead of ${next}` : "";
  const by = decided_by ? ` by ${decided_by.replaceAll("_", " ")}` : "";
  const below = score < none ? "; “none of these” was more likely there" : "";
  made.textContent = size > 1
    ? `Place ${place} of the ${size} compared side by side (chunk ${chunk})${ahead}${by}${below}`
    : `Compared with no other${below}`;
  return made;
}

// What was predicted from the picture where the shop says nothing.
function suggested(one) {
  const words = [one?.colour, (one?.category ?? []).join(" › ")].filter(Boolean);
  if (!words.length) return null;
  const made = document.createElement("p");
  made.className = "suggested";
  made.textContent = `Predicted from its picture, not said by the shop: ${words.join(", ")}`;
  return made;
}

// The patches that are most alike: of what was searched with on the left, of the product on the right.
function matches({ grid, pairs }, picture, patch) {
  const made = document.createElement("div");
  made.className = "matches";
  const title = document.createElement("p");
  title.textContent = "Most alike: yours, and the product's";
  made.append(title);
  for (const [mine, other, cosine] of pairs) {
    const pair = document.createElement("figure");
    const all = [0, 0, picture.naturalWidth, picture.naturalHeight];
    pair.append(patch(mine), patchOf(picture, all, grid, other));
    const caption = document.createElement("figcaption");
    caption.textContent = percent(Math.max(0, cosine));
    pair.append(caption);
    made.append(pair);
  }
  return made;
}

function offer(place, item) {
  const parts = [];
  if (item.price !== undefined && item.price !== null) parts.push(price(item.price, item.currency));
  if (item.in_stock === false) parts.push("sold out");
  place.textContent = parts.join(" · ");
  place.classList.toggle("sold-out", item.in_stock === false);
}

function price(value, currency) {
  try {
    return new Intl.NumberFormat(undefined, { style: "currency", currency }).format(value);
  } catch {
    return `${value} ${currency ?? ""}`.trim();
  }
}

export function percent(share) {
  return share > 0 && share < 0.01 ? "< 1 %" : `${Math.round(100 * share)} %`;
}
