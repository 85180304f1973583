// Panel's own components follow a theme that is named on the page; "as the system has it" is a name that they do not
// know, so the theme in force is told to them, and again whenever it changes. A classic script in <head>.
(function () {
  var media = matchMedia("(prefers-color-scheme: dark)");
  function tell() {
    if (!document.body) return;
    var chosen = document.documentElement.getAttribute("data-theme");
    var dark = chosen ? chosen === "dark" : media.matches;
    document.body.setAttribute("data-jp-theme-light", String(!dark));
  }
  new MutationObserver(tell).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"], childList: true });
  media.addEventListener("change", tell);
  document.addEventListener("DOMContentLoaded", tell);
  document.addEventListener("DOMContentLoaded", function () {
    // The skeleton goes when the first component stands.
    var waiting = document.querySelector("[data-waiting]");
    var root = document.querySelector("[data-root-id]");
    if (!waiting || !root) return;
    var observer = new MutationObserver(function () {
      if (!root.childElementCount) return;
      observer.disconnect();
      setTimeout(function () { waiting.remove(); }, 60);
    });
    observer.observe(root, { childList: true });
  });
})();
