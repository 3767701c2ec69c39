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

  clear() {
    this.file = null;
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
    if (box) {
      const [left, top, right, bottom] = box.map((edge) => 100 * edge);
      Object.assign(drawn.style, { left: `${left}%`, top: `${top}%`, width: `${right - left}%`, height: `${bottom - top}%` });
    }
  }
}

function between([x, y], [u, v]) {
  return [Math.min(x, u), Math.min(y, v), Math.max(x, u), Math.max(y, v)].map((edge) => Number(edge.toFixed(4)));
}

function limit(value) {
  return Math.min(1, Math.max(0, value));
}
