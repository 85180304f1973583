// Sets the theme a person chose before anything is painted. A classic script, loaded without `defer` in <head>: a module
// would run after the first paint and the page would flash.
(function () {
  try {
    var chosen = localStorage.getItem("dash-theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.setAttribute("data-theme", chosen);
  } catch (blocked) {
    // Storage can be forbidden (private windows, embeds): the system's preference then decides.
  }
})();
