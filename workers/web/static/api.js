// Requests to this server. A problem (RFC 9457) becomes an Error with its `code`.

const KEY = "lookstream-key";

export class Problem extends Error {
  constructor(status, body) {
    super(body.detail ?? `The server answered with status ${status}.`);
    this.status = status;
    this.code = body.code ?? "unknown";
  }
}

export function setKey(word) {
  sessionStorage.setItem(KEY, word);
}

function headers(more = {}) {
  const word = sessionStorage.getItem(KEY);
  return word ? { ...more, Authorization: `Bearer ${word}` } : more;
}

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { code: "offline", detail: "The server does not answer. Is `lookstream up` running, and are you online?" });
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Problem(response.status, body);
  return body;
}

export function search(fields, picture, signal) {
  const form = new FormData();
  form.set("query", JSON.stringify(fields));
  if (picture) form.set("image", picture);
  return request("/search", { method: "POST", body: form, headers: headers(), signal });
}

export function click(query_id, product_id) {
  const body = JSON.stringify({ query_id, product_id });
  return request("/events", { method: "POST", body, keepalive: true, headers: headers({ "Content-Type": "application/json" }) });
}

export async function ready() {
  const response = await fetch("/readyz");
  return response.json();
}

// Server-sent events by fetch: EventSource cannot send a key.
export async function* live(signal) {
  const response = await fetch("/live", { headers: headers(), signal });
  if (!response.ok) throw new Problem(response.status, await response.json().catch(() => ({})));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      if (part.startsWith("data: ")) yield JSON.parse(part.slice(6));
    }
  }
}
