// The few helpers that the views share. Text goes in as text nodes only: nothing here parses markup.

/**
 * Makes an element. `props` are set as properties, except `class`, `data` (an object of data attributes)
 * and names with a dash or unknown to the element, which become attributes. Empty children are left out.
 */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name === "class") node.className = value;
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && !name.includes("-")) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** The element with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * One tab stop for a whole list: the arrow keys, Home and End move it. `items` gives the elements in order.
 * Returns what makes an element the tab stop.
 */
export function rove(list, items, { onMove = () => {} } = {}) {
  let current = null;
  const make = (item, { focus = false } = {}) => {
    if (current !== item) {
      if (current) current.tabIndex = -1;
      if (item) item.tabIndex = 0;
      onMove(item, current);
      current = item;
    }
    if (focus && item) item.focus();
  };
  list.addEventListener("focusin", (event) => {
    const item = items().find((candidate) => candidate.contains(event.target));
    if (item) make(item);
  });
  list.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const all = items();
    const at = all.findIndex((candidate) => candidate.contains(event.target));
    const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    const next = all[Math.min(Math.max(to, 0), all.length - 1)];
    make(next, { focus: true });
    next.scrollIntoView({ block: "nearest" });
  });
  return make;
}

/** How long the next picture may take before the work is done without it. */
const PICTURE_WAIT_MS = 100;

/** Runs `work` once, before the next picture is drawn, however often it is asked for. */
export function oncePerFrame(work) {
  let asked = false;
  const run = () => {
    if (!asked) return;
    asked = false;
    work();
  };
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(run);
    // A page that is hidden or covered draws no pictures, and may become so after it asked for one.
    setTimeout(run, PICTURE_WAIT_MS);
  };
}

/** Paints a person in a colour that follows from the name. */
export function paint(node, user) {
  let hash = 0;
  for (const char of user) hash = (hash * 31 + char.codePointAt(0)) % 3600;
  node.style.setProperty("--hue", String((hash * 137) % 360));
  return node;
}
