// Relative times that tick by themselves: one timer a page walks the <time data-ago> elements of the roots it was given
// (the document, or a shadow root) and rewrites those whose words changed.

const roots = new Set();
let timer = 0;

/**
 * How long ago, in words: "now", "12 s ago", "3 min ago", "2 h ago", "5 d ago", "in 4 min".
 * @param {number} at epoch milliseconds
 * @param {number} [now] epoch milliseconds
 */
export function ago(at, now = Date.now()) {
  const seconds = Math.round((now - at) / 1000);
  const size = Math.abs(seconds);
  if (size < 2) return "now";
  const [value, unit] =
    size < 90 ? [size, "s"]
    : size < 90 * 60 ? [Math.round(size / 60), "min"]
    : size < 36 * 3600 ? [Math.round(size / 3600), "h"]
    : size < 60 * 86400 ? [Math.round(size / 86400), "d"]
    : size < 700 * 86400 ? [Math.round(size / 2629800), "mo"]
    : [Math.round(size / 31557600), "y"];
  return seconds > 0 ? `${value} ${unit} ago` : `in ${value} ${unit}`;
}

/** Write every <time data-ago="epoch ms"> below `root` once. */
export function writeTimes(root, now = Date.now()) {
  for (const element of root.querySelectorAll("time[data-ago]")) {
    const text = ago(Number(element.dataset.ago), now);
    if (element.textContent !== text) element.textContent = text;
  }
}

/** Keep the times below `root` current until the returned function is called. */
export function tickTimes(root) {
  roots.add(root);
  writeTimes(root);
  if (!timer) {
    timer = setInterval(() => {
      if (!document.hidden) for (const each of roots) writeTimes(each);
    }, 1000);
  }
  return () => {
    roots.delete(root);
    if (!roots.size) {
      clearInterval(timer);
      timer = 0;
    }
  };
}
