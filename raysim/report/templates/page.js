"use strict";
(function () {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const specs = read("specs");
  const dark = read("dark");
  const night = window.matchMedia("(prefers-color-scheme: dark)");
  let resized = 0;
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

  // The library of the figures is packed, which makes the page a third as large.
  async function load() {
    const packed = document.getElementById("plotly").textContent;
    if (!packed) return;
    const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    draw(night.matches);
  }

  function draw(useDark, width) {
    if (typeof Plotly === "undefined") return;
    for (const place of document.querySelectorAll("[data-figure]")) {
      // What is behind a click is drawn when it opens: it has no width before.
      if (!width && !place.offsetParent) continue;
      const spec = structuredClone(specs[place.dataset.figure]);
      const { data, layout } = useDark ? tinted(spec) : spec;
      if (width) layout.width = width;
      fit(layout, place, width);
      Plotly.react(place, data, layout, config);
    }
    hint();
  }

  // What is wider than its place: axis titles and names in the legend break; a heatmap has a least width, and scrolls.
  function fit(layout, place, width) {
    const least = width ? 0 : (layout.meta && layout.meta.least_width) || 0;
    place.style.minWidth = least ? `${least}px` : "";
    const room = width || place.clientWidth;
    for (const [name, axis] of Object.entries(layout)) {
      if (!name.startsWith("xaxis") || !axis.title || !axis.title.text) continue;
      const [from, to] = axis.domain || [0, 1];
      axis.title.text = broken(axis.title.text, ((to - from) * room - 60) / 6.5);
    }
    if (room < 560 && layout.legend) layout.legend.font = { size: 11 };
  }

  function broken(text, longest) {
    const lines = [""];
    for (const word of text.split(" ")) {
      const line = lines[lines.length - 1];
      if (line && line.length + word.length >= longest) lines.push(word);
      else lines[lines.length - 1] = line ? `${line} ${word}` : word;
    }
    return lines.join("<br>");
  }

  // Above what scrolls sideways a line says so, since many screens hide the bar.
  function hint() {
    for (const box of document.querySelectorAll(".wide, .frame")) {
      if (!box.offsetParent) continue;
      let line = box.previousElementSibling;
      if (!line || !line.classList.contains("hint")) {
        line = document.createElement("p");
        line.className = "hint";
        line.textContent = "Scroll sideways for more \u2192";
        box.before(line);
      }
      line.classList.toggle("shown", box.scrollWidth > box.clientWidth + 1);
    }
  }

  // A link to something behind a click opens the way to it.
  function reveal() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    if (target) target.scrollIntoView();
  }

  document.addEventListener("toggle", (event) => {
    if (event.target.open && event.target.querySelector("[data-figure]")) draw(night.matches);
    else hint();
  }, true);
  window.addEventListener("hashchange", reveal);
  window.addEventListener("resize", () => {
    clearTimeout(resized);
    resized = setTimeout(() => draw(night.matches), 200);
  });
  reveal();
  hint();
  load();
  night.addEventListener("change", () => draw(night.matches));
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((d) => { if (!d.dataset.long) d.open = true; });
    draw(false, 680);
  });
  window.addEventListener("afterprint", () => draw(night.matches));
})();
