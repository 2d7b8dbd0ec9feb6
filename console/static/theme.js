// Not a module: runs before the first paint, so that the page does not flash in the other theme.
(() => {
  const KEY = "bytetracker-theme";
  const system = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const chosen = localStorage.getItem(KEY);
    const theme = chosen === "light" || chosen === "dark" ? chosen : system.matches ? "dark" : "light";
    document.documentElement.dataset.theme = theme;
    dispatchEvent(new Event("theme"));
  };
  system.addEventListener("change", apply);
  addEventListener("themechosen", apply);
  apply();
})();
