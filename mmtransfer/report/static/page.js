"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const D = read("page-data"), M = read("page-media");
  const byId = (id) => document.getElementById(id);
  // Columns of a row.
  const ID = 0, TRUTH = 1, ANSWER = 2, SURE = 3, TEXT = 5, MEDIUM = 6, MORE = 7;
  const PAGE = 24;

  // Everything a user has given becomes text, never HTML.
  const make = (name, style, ...children) => {
    const made = document.createElement(name);
    if (style) made.className = style;
    made.append(...children);
    return made;
  };
  const share = (x) => (100 * x).toFixed(x > 0.995 && x < 1 ? 2 : 1) + " %";

  /* The list of examples. */
  const list = byId("list"), form = byId("filter"), count = byId("count"), more = byId("more");
  let found = [], shown = 0;

  const spoken = (value) => {
    if (D.kind === "label") return D.names[value];
    if (D.kind === "labels") return value.map((n) => D.names[n]).join(", ") || "(none)";
    return String(value);
  };

  const needle = (row) => {
    if (row.needle === undefined) {
      const parts = [row[ID]];
      if (D.kind === "transcript") parts.push(row[TRUTH].map((pair) => pair.join(" ")).join(" "));
      else if (D.kind !== "tags") parts.push(spoken(row[TRUTH]), spoken(row[ANSWER]));
      if (row[TEXT]) parts.push(Array.isArray(row[TEXT]) ? row[TEXT].join(" ") : row[TEXT]);
      row.needle = parts.join("\n").toLowerCase();
    }
    return row.needle;
  };

  const has = (value, number) => (Array.isArray(value) ? value.includes(number) : value === number);

  const pick = () => {
    const asked = new FormData(form);
    const words = String(asked.get("q") || "").toLowerCase().split(/\s+/).filter(Boolean);
    const which = asked.get("which"), sort = asked.get("sort");
    const t = asked.get("t") ? Number(asked.get("t")) : null, p = asked.get("p") ? Number(asked.get("p")) : null;
    found = [];
    D.rows.forEach((row, place) => {
      if (D.right.length && which === "wrong" && D.right[place]) return;
      if (which === "right" && !D.right[place]) return;
      if (t !== null && !has(row[TRUTH], t)) return;
      if (p !== null && !has(row[ANSWER], p)) return;
      if (words.length && !words.every((word) => needle(row).includes(word))) return;
      found.push(place);
    });
    const sure = (place) => D.rows[place][SURE] ?? 0;
    if (sort === "sure") found.sort((a, b) => sure(b) - sure(a) || a - b);
    if (sort === "unsure") found.sort((a, b) => sure(a) - sure(b) || a - b);
    if (sort === "id") {
      const order = new Intl.Collator(undefined, { numeric: true });
      found.sort((a, b) => order.compare(D.rows[a][ID], D.rows[b][ID]));
    }
    list.replaceChildren();
    shown = 0;
    show();
  };

  const show = () => {
    const next = found.slice(shown, shown + PAGE);
    list.append(...next.map(card));
    shown += next.length;
    more.hidden = shown >= found.length;
    const all = D.rows.length === D.of ? "" : ` of ${D.of.toLocaleString("en")} in all`;
    count.textContent = `${found.length.toLocaleString("en")} of ${D.rows.length.toLocaleString("en")} examples${all}`;
  };

  const said = (row, right) => {
    const told = make("dl", "said");
    const line = (name, value, style) => told.append(make("dt", "", name), make("dd", style, make("bdi", "", value)));
    line("truth", spoken(row[TRUTH]), "");
    line("answer", spoken(row[ANSWER]), D.kind === "value" ? "" : right ? "right" : "wrong");
    return told;
  };

  const words = (row) => {
    const told = make("p", "words"), times = row[MORE] && row[MORE].times;
    let heard = 0;
    for (const pair of row[TRUTH]) {
      const [a, b] = pair.length === 1 ? [pair[0], pair[0]] : pair;
      let word;
      if (pair.length === 1) word = make("span", "", a);
      else if (!a) word = make("span", "", make("ins", "", b));
      else if (!b) word = make("span", "", make("del", "", a));
      else word = make("span", "sub", make("del", "", a), make("small", "", b));
      if (pair.length > 1) word.title = !a ? `put in: ${b}` : !b ? `left out: ${a}` : `said ${a}, heard ${b}`;
      if (b && times && times[heard]) {
        word.dataset.at = times[heard][0];
        word.dataset.end = times[heard][1];
        word.tabIndex = 0;
        word.setAttribute("role", "button");
      }
      if (b) heard += 1;
      told.append(word, " ");
    }
    return told;
  };

  const tags = (row) => {
    const told = make("p", "words");
    row[TRUTH].forEach((truth, place) => {
      const t = D.names[truth], p = D.names[row[ANSWER][place]];
      const word = row[TEXT] ? row[TEXT][place] : "•";
      if (t === "O" && p === "O") { told.append(make("span", "", word), " "); return; }
      const tag = t === p ? t : `${t} → ${p}`;
      told.append(make("span", "tagged" + (t === p ? "" : " off"), make("bdi", "", word), make("small", "", tag)), " ");
    });
    return told;
  };

  // The words of a text, the stronger coloured the more the answer leaned on them.
  const why = (row) => {
    const told = make("p", "text why");
    const most = Math.max(0.05, ...row[MORE].why.map(([, weight]) => Math.abs(weight)));
    for (const [word, weight] of row[MORE].why) {
      if (!weight) { told.append(word); continue; }
      const mark = make("mark", weight < 0 ? "less" : "", word);
      mark.style.setProperty("--a", Math.round((Math.abs(weight) / most) * 65));
      mark.title = `without it the answer's probability is ${Math.abs(weight).toFixed(2)} ${weight > 0 ? "lower" : "higher"}`;
      told.append(mark);
    }
    return told;
  };

  const player = (row, told) => {
    const sound = make("audio");
    sound.controls = true;
    sound.preload = "none";
    sound.src = M[row[MEDIUM]];
    sound.setAttribute("aria-label", `Recording ${row[ID]}`);
    const go = (event) => {
      const word = event.target.closest("[data-at]");
      if (!word || (event.type === "keydown" && event.key !== "Enter" && event.key !== " ")) return;
      event.preventDefault();
      sound.currentTime = Number(word.dataset.at);
      sound.play();
    };
    told.addEventListener("click", go);
    told.addEventListener("keydown", go);
    sound.addEventListener("timeupdate", () => {
      for (const word of told.querySelectorAll("[data-at]"))
        word.classList.toggle("now", sound.currentTime >= word.dataset.at && sound.currentTime < word.dataset.end);
    });
    return sound;
  };

  const medium = (row, told) => {
    if (row[MEDIUM] < 0) return make("span", "absent", D.input === "image" ? "picture not in this page" : "recording not in this page");
    if (D.input === "audio") return player(row, told);
    const picture = make("img");
    picture.src = M[row[MEDIUM]];
    picture.loading = "lazy";
    picture.alt = D.kind === "label" ? `${row[ID]}, which is ${spoken(row[TRUTH])}` : row[ID];
    if (M[row[MEDIUM]].startsWith("data:image/png")) picture.className = "tiny";
    return picture;
  };

  const text = (row) => {
    if (row[MORE] && row[MORE].why) return why(row);
    if (!row[TEXT]) return make("span", "absent", "text not in this page");
    const told = make("p", "text", row[TEXT]);
    told.dir = "auto";
    return told;
  };

  const card = (place) => {
    const row = D.rows[place], made = make("li", "card");
    const told = D.kind === "transcript" ? words(row) : D.kind === "tags" ? tags(row) : said(row, D.right[place]);
    if (D.input === "image" || D.input === "audio") made.append(medium(row, told));
    else if (D.input === "text") made.append(text(row));
    made.append(told);
    if (row[MORE] && row[MORE].top) {
      const others = row[MORE].top.map(([n, x]) => `${D.names[n]} ${share(x)}`).join(" · ");
      made.append(make("p", "tops", others));
    } else if (row[SURE] !== null) made.append(make("span", "sure", `confidence ${share(row[SURE])}`));
    made.append(make("bdi", "id", row[ID]));
    return made;
  };

  if (form) {
    let later = 0;
    form.addEventListener("input", () => { clearTimeout(later); later = setTimeout(pick, 60); });
    form.addEventListener("reset", () => setTimeout(pick));
    form.addEventListener("submit", (event) => { event.preventDefault(); pick(); });
    more.addEventListener("click", () => {
      const first = shown;
      show();
      const next = list.children[first];
      if (next) { next.tabIndex = -1; next.focus({ preventScroll: true }); }
    });
    pick();
  }

  /* A click on a pair, a cell or a class shows its examples. */
  document.addEventListener("click", (event) => {
    const asked = event.target.closest("[data-t]");
    if (!asked || !form || !form.elements.t) return;
    const number = (name) => (name === undefined ? "" : String(D.names.indexOf(name)));
    form.elements.q.value = "";
    form.elements.t.value = number(asked.dataset.t);
    form.elements.p.value = number(asked.dataset.p);
    form.elements.which.value = asked.dataset.p !== undefined && asked.dataset.p === asked.dataset.t ? "right" : asked.dataset.p === undefined ? "all" : "wrong";
    pick();
    byId("examples").scrollIntoView();
    count.tabIndex = -1;
    count.focus({ preventScroll: true });
  });

  /* Tables that can be sorted and searched. */
  const key = (row, place) => {
    const cell = row.cells[place], value = cell.dataset.v ?? cell.textContent.trim();
    const number = Number(String(value).replace(/,/g, ""));
    return value !== "" && Number.isFinite(number) ? number : value === "" ? null : value.toLowerCase();
  };
  const compare = (a, b) => {
    if (a === b) return 0;
    if (a === null) return 1;
    if (b === null) return -1;
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return a < b ? -1 : 1;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, place) => head.querySelector("button")?.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down === 1 ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows].map((row) => [key(row, place), row]);
      rows.sort((a, b) => (a[0] === null || b[0] === null ? compare(a[0], b[0]) : down * compare(a[0], b[0])));
      table.tBodies[0].append(...rows.map(([, row]) => row));
    }));
  }
  for (const field of document.querySelectorAll("[data-filters]")) {
    const rows = [...byId(field.dataset.filters).tBodies[0].rows].map((row) => [row.cells[0].textContent.toLowerCase(), row]);
    field.addEventListener("input", () => {
      const asked = field.value.toLowerCase();
      for (const [name, row] of rows) row.hidden = !name.includes(asked);
    });
  }
})();
