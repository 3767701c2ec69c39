// Results as cards.

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
  root.querySelector(".path").textContent = (item.category ?? []).join(" › ");
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
  for (const [label, act] of actions.buttons(item)) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = label;
    button.setAttribute("aria-label", `${label}: ${title}`);
    button.addEventListener("click", () => act(root));
    root.querySelector(".actions").append(button);
  }
  return root;
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
