// The picture that is searched with: chosen, dropped or pasted, and a box drawn on it.

const LEAST = 0.03; // of a side: less is a tap
const SIDE = 1280; // pixels of the longer side that are sent: more is not looked at
const SMALL_BYTES = 1_500_000; // smaller files are sent as they are

export class Picture {
  constructor(changed, refuse) {
    this.file = null;
    this.box = null;
    this.changed = changed;
    this.refuse = refuse;
    this.maxBytes = Number(document.body.dataset.maxBytes);
    this.listen();
  }

  listen() {
    const input = document.getElementById("file");
    input.addEventListener("change", () => { this.take(input.files[0]); input.value = ""; });
    document.getElementById("no-picture").addEventListener("click", () => this.clear());
    document.getElementById("no-box").addEventListener("click", () => { this.setBox(null); this.changed(); });
    const toggle = document.getElementById("show-kept");
    toggle.addEventListener("click", () => {
      const shown = toggle.getAttribute("aria-pressed") !== "true";
      toggle.setAttribute("aria-pressed", String(shown));
      document.getElementById("kept").hidden = !shown;
    });
    const drop = document.getElementById("drop");
    for (const type of ["dragenter", "dragover"]) {
      drop.addEventListener(type, (event) => { event.preventDefault(); drop.classList.add("over"); });
    }
    drop.addEventListener("dragleave", () => drop.classList.remove("over"));
    drop.addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      this.take(event.dataTransfer.files[0]);
    });
    document.addEventListener("paste", (event) => {
      const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
      if (file) { event.preventDefault(); this.take(file); }
    });
    this.listenForBox();
  }

  take(file) {
    if (!file) return;
    if (file.type && !file.type.startsWith("image/")) {
      this.refuse(`${file.name} is not a picture.`);
      return;
    }
    if (file.size > this.maxBytes) {
      this.refuse(`${file.name} has ${Math.round(file.size / 1e6)} MB; at most ${Math.floor(this.maxBytes / 1e6)} MB can be sent.`);
      return;
    }
    this.file = file;
    this.setBox(null);
    const preview = document.getElementById("preview");
    URL.revokeObjectURL(preview.src);
    preview.src = URL.createObjectURL(file);
    this.toggle(true);
    this.changed();
  }

  // The patches of the answer that were compared, drawn over the picture.
  setKept(juice) {
    const drawn = document.getElementById("kept");
    const toggle = document.getElementById("show-kept");
    const there = Boolean(this.file && juice?.kept?.length);
    toggle.hidden = !there;
    drawn.replaceChildren();
    if (!there) return;
    const [left, top, right, bottom] = this.box ?? [0, 0, 1, 1];
    Object.assign(drawn.style, percents(left, top, right, bottom));
    const preview = document.getElementById("preview");
    const width = (right - left) * preview.naturalWidth;
    const height = (bottom - top) * preview.naturalHeight;
    for (const patch of juice.kept) {
      const cell = document.createElement("i");
      Object.assign(cell.style, percents(...cellOf(juice.grid, patch, width, height).map(limit)));
      drawn.append(cell);
    }
  }

  // A patch of what was searched with, as a picture of its own.
  patch(grid, number) {
    const preview = document.getElementById("preview");
    const { naturalWidth: width, naturalHeight: height } = preview;
    const [left, top, right, bottom] = this.box ?? [0, 0, 1, 1];
    return patchOf(preview, [left * width, top * height, right * width, bottom * height], grid, number);
  }

  clear() {
    this.file = null;
    this.setKept(null);
    this.setBox(null);
    this.toggle(false);
    document.getElementById("file").focus();
  }

  toggle(there) {
    document.getElementById("stage").hidden = !there;
    document.getElementById("picture-tools").hidden = !there;
    document.getElementById("hint").hidden = there;
  }

  listenForBox() {
    const stage = document.getElementById("stage");
    let start = null;
    const at = (event) => {
      const edges = stage.getBoundingClientRect();
      return [limit((event.clientX - edges.left) / edges.width), limit((event.clientY - edges.top) / edges.height)];
    };
    stage.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      stage.setPointerCapture(event.pointerId);
      start = at(event);
    });
    stage.addEventListener("pointermove", (event) => {
      if (start) this.setBox(between(start, at(event)));
    });
    stage.addEventListener("pointerup", (event) => {
      if (!start) return;
      const drawn = between(start, at(event));
      start = null;
      const large = drawn[2] - drawn[0] > LEAST && drawn[3] - drawn[1] > LEAST;
      this.setBox(large ? drawn : null);
      if (large) this.changed();
    });
  }

  // What is sent: the file, or the part in the box, or a smaller copy of a large photo.
  async sendable() {
    if (!this.file || (!this.box && this.file.size <= SMALL_BYTES)) return this.file;
    let drawn;
    try {
      drawn = await createImageBitmap(this.file);
    } catch {
      return this.file; // the server knows more formats, or says what is wrong
    }
    const [left, top, right, bottom] = this.box ?? [0, 0, 1, 1];
    const width = Math.max(1, (right - left) * drawn.width);
    const height = Math.max(1, (bottom - top) * drawn.height);
    const scale = Math.min(1, SIDE / Math.max(width, height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = Math.max(1, Math.round(height * scale));
    canvas.getContext("2d").drawImage(
      drawn, left * drawn.width, top * drawn.height, width, height, 0, 0, canvas.width, canvas.height,
    );
    return new Promise((done) => canvas.toBlob((blob) => done(blob ?? this.file), "image/jpeg", 0.92));
  }

  setBox(box) {
    this.box = box;
    const drawn = document.getElementById("box");
    drawn.hidden = !box;
    document.getElementById("no-box").hidden = !box;
    if (box) Object.assign(drawn.style, percents(...box));
  }
}

// A patch in shares of its picture: patches lie on a square in whose middle the picture is.
function cellOf([rows, columns], patch, width, height) {
  const side = Math.max(width, height);
  const across = (at) => ((at / columns) * side - (side - width) / 2) / width;
  const down = (at) => ((at / rows) * side - (side - height) / 2) / height;
  const [row, column] = [Math.floor(patch / columns), patch % columns];
  return [across(column), down(row), across(column + 1), down(row + 1)];
}

const PATCH_SIDE = 72; // pixels on the page
const AROUND = 0.5; // of a patch's side is shown around it

// A patch of the part [x0, y0, x1, y1] (pixels) of a picture, framed, with a little around it.
export function patchOf(image, [x0, y0, x1, y1], grid, number) {
  const [width, height] = [x1 - x0, y1 - y0];
  const [left, top, right, bottom] = cellOf(grid, number, width, height);
  const [w, h] = [(right - left) * width, (bottom - top) * height];
  const shown = document.createElement("canvas");
  shown.width = shown.height = 2 * PATCH_SIDE; // sharp on fine screens
  const draw = shown.getContext("2d");
  draw.drawImage(
    image, x0 + left * width - AROUND * w, y0 + top * height - AROUND * h, (1 + 2 * AROUND) * w, (1 + 2 * AROUND) * h,
    0, 0, shown.width, shown.height,
  );
  const inset = (shown.width * AROUND) / (1 + 2 * AROUND);
  for (const [colour, thick] of [["#000", 6], ["#ffd640", 3]]) {
    draw.strokeStyle = colour;
    draw.lineWidth = thick;
    draw.strokeRect(inset, inset, shown.width - 2 * inset, shown.height - 2 * inset);
  }
  return shown;
}

const THUMBNAIL_SIDE = 40; // pixels on the page

// A part (shares of the sides) of the picture that is searched with, as a small picture.
export function part([left, top, right, bottom]) {
  const preview = document.getElementById("preview");
  const { naturalWidth, naturalHeight } = preview;
  const [width, height] = [(right - left) * naturalWidth, (bottom - top) * naturalHeight];
  const shown = document.createElement("canvas");
  const scale = (2 * THUMBNAIL_SIDE) / Math.max(width, height, 1); // sharp on fine screens
  shown.width = Math.max(1, Math.round(width * scale));
  shown.height = Math.max(1, Math.round(height * scale));
  shown.getContext("2d").drawImage(
    preview, left * naturalWidth, top * naturalHeight, width, height, 0, 0, shown.width, shown.height,
  );
  return shown;
}

function between([x, y], [u, v]) {
  return [Math.min(x, u), Math.min(y, v), Math.max(x, u), Math.max(y, v)].map((edge) => Number(edge.toFixed(4)));
}

function percents(left, top, right, bottom) {
  return {
    left: `${100 * left}%`, top: `${100 * top}%`, width: `${100 * (right - left)}%`, height: `${100 * (bottom - top)}%`,
  };
}

function limit(value) {
  return Math.min(1, Math.max(0, value));
}
