// The products of a picture that shows several: each has a frame in it, and results of its own.

import { part } from "./picture.js";

export class Objects {
  constructor(changed) {
    this.asked = false; // whether they are looked for
    this.chosen = null; // which one's results are shown; null: those of the whole picture
    this.result = null;
    this.toggle = document.getElementById("find-objects");
    this.frames = document.getElementById("frames");
    this.list = document.getElementById("objects");
    this.toggle.addEventListener("click", () => {
      this.asked = !this.asked;
      this.chosen = null;
      this.toggle.setAttribute("aria-pressed", String(this.asked));
      changed();
    });
  }

  // Another picture, or a part of it, is another question.
  clear() {
    this.asked = false;
    this.chosen = null;
    this.toggle.setAttribute("aria-pressed", "false");
    this.show(null);
  }

  // What is shown of a result: that of the chosen object, or all of it.
  part(result) {
    const group = this.chosen === null ? null : result.groups?.[this.chosen];
    return group ? { ...result, ...group, juice: null } : result;
  }

  // Frames in the picture, and a button for each object; `choose` is told of the one that is chosen.
  show(groups, choose) {
    this.list.hidden = !groups?.length;
    this.frames.replaceChildren();
    this.list.replaceChildren();
    if (!groups?.length) return;
    const pick = (index) => {
      this.chosen = index;
      this.mark();
      choose();
    };
    this.list.append(button("Whole picture", () => pick(null)));
    groups.forEach(({ box }, index) => {
      const made = button(`Product ${index + 1}`, () => pick(index));
      made.prepend(part(box));
      this.list.append(made);
      const frame = document.createElement("i");
      frame.dataset.number = index + 1;
      const [left, top, right, bottom] = box.map((edge) => 100 * edge);
      Object.assign(frame.style, { left: `${left}%`, top: `${top}%`, width: `${right - left}%`, height: `${bottom - top}%` });
      this.frames.append(frame);
    });
    this.mark();
  }

  mark() {
    [...this.list.children].forEach((one, at) => one.setAttribute("aria-pressed", String(at === (this.chosen ?? -1) + 1)));
    [...this.frames.children].forEach((one, at) => one.classList.toggle("chosen", at === this.chosen));
  }
}

function button(label, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "quiet";
  made.append(label);
  made.addEventListener("click", act);
  return made;
}
