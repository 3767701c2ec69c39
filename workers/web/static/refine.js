// Facets to choose from, and the filter that the choice makes.

const NAMES = { in_stock: "In stock", category: "Category", price: "Price", currency: "Currency" };
const SHOWN = 12; // values of a facet, the ones with the most products

export class Refine {
  constructor(changed) {
    this.asked = JSON.parse(document.body.dataset.facets);
    this.chosen = new Map(); // facet -> values
    this.place = document.getElementById("facets");
    this.written = document.getElementById("filter");
    this.changed = changed;
    this.written.addEventListener("change", changed);
  }

  // The filter of a query: what is chosen, and what is written.
  filter() {
    const parts = [...this.chosen].filter(([, values]) => values.size).map(([facet, values]) => condition(facet, [...values]));
    const written = this.written.value.trim();
    if (written) parts.push(`(${written})`);
    return parts.join(" && ");
  }

  clear() {
    this.chosen.clear();
    this.written.value = "";
  }

  only(product_ids) {
    this.clear();
    this.written.value = `product_id:=[${product_ids.map(quote).join(", ")}]`;
  }

  show(facets) {
    const there = facets.filter((one) => one.counts?.length || this.chosen.get(one.field)?.size);
    document.getElementById("refine").hidden = false;
    document.getElementById("columns").classList.add("refined");
    this.place.replaceChildren(...there.map((one) => this.fieldset(one)));
  }

  fieldset({ field, counts = [], more = 0 }) {
    const values = this.chosen.get(field) ?? new Set();
    const set = document.createElement("fieldset");
    const legend = document.createElement("legend");
    legend.textContent = titleOf(field);
    set.append(legend);
    const listed = counts.slice(0, SHOWN);
    const gone = [...values].filter((value) => !listed.some((one) => one.value === value));
    for (const { value, count } of [...listed, ...gone.map((value) => ({ value, count: counts.find((one) => one.value === value)?.count ?? 0 }))]) {
      const label = document.createElement("label");
      const box = document.createElement("input");
      box.type = "checkbox";
      box.checked = values.has(value);
      box.addEventListener("change", () => this.choose(field, value, box.checked));
      const name = document.createElement("span");
      name.textContent = textOf(value);
      const number = document.createElement("span");
      number.className = "count";
      number.textContent = count;
      label.append(box, name, number);
      set.append(label);
    }
    const left = counts.length - listed.length + more;
    if (left > 0) {
      const rest = document.createElement("p");
      rest.className = "note";
      rest.textContent = `and ${left} more`;
      set.append(rest);
    }
    return set;
  }

  choose(field, value, on) {
    const values = this.chosen.get(field) ?? new Set();
    if (on) values.add(value);
    else values.delete(value);
    this.chosen.set(field, values);
    this.changed();
  }
}

function condition(facet, values) {
  const field = fieldOf(facet);
  if (!facet.includes("(")) return `${field}:=[${values.map(quote).join(", ")}]`;
  const ranges = values.map((value) => {
    const [low, high] = value.split("..");
    return high ? `(${field}:>=${low} && ${field}:<${high})` : `${field}:>=${low}`;
  });
  return `(${ranges.join(" || ")})`;
}

function fieldOf(facet) {
  return facet.split("(")[0].trim();
}

function quote(value) {
  return typeof value === "string" ? `\`${value.replaceAll("`", "``")}\`` : String(value);
}

function titleOf(facet) {
  const field = fieldOf(facet);
  const name = NAMES[field] ?? field.replace(/^attributes\./, "");
  return name[0].toUpperCase() + name.slice(1);
}

function textOf(value) {
  if (value === true) return "yes";
  if (value === false) return "no";
  const range = /^([^.]*)\.\.(.*)$/.exec(value);
  if (range) return range[2] ? `${range[1]} to ${range[2]}` : `${range[1]} and more`;
  return String(value).replaceAll(" > ", " › ");
}
