"use strict";
(function () {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const specs = read("specs");
  const dark = read("dark");
  const night = window.matchMedia("(prefers-color-scheme: dark)");
  const config = { displayModeBar: false, responsive: true };

  // Figures are drawn in the colours of the light page; on the dark one each is replaced by its counterpart.
  function tinted(value) {
    if (typeof value === "string") return dark[value] || value;
    if (Array.isArray(value)) return value.map(tinted);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, tinted(inner)]));
    }
    return value;
  }

  function draw(useDark, width) {
    if (typeof Plotly === "undefined") return;
    for (const place of document.querySelectorAll("[data-figure]")) {
      const spec = structuredClone(specs[place.dataset.figure]);
      const { data, layout } = useDark ? tinted(spec) : spec;
      if (width) layout.width = width;
      Plotly.react(place, data, layout, config);
    }
  }

  draw(night.matches);
  night.addEventListener("change", () => draw(night.matches));
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((d) => { if (!d.dataset.long) d.open = true; });
    draw(false, 680);
  });
  window.addEventListener("afterprint", () => draw(night.matches));
})();
