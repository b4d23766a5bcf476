"use strict";
(() => {
  const data = JSON.parse(document.getElementById("replay-data").textContent);
  const root = document.getElementById("replay");
  const faults = data.faults;
  const terms = data.terms;
  const make = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "on") node.addEventListener("click", value);
      else if (key === "vars") for (const [name, v] of Object.entries(value)) node.style.setProperty(name, v);
      else if (value !== false && value !== undefined) node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
    return node;
  };
  const svg = (tag, attributes, ...children) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };

  // ---- what is chosen: indices of (episode, turn) that pass the filters
  const owner = new Int32Array(data.turns.length), place = new Int32Array(data.turns.length);
  data.episodes.forEach((episode, e) => episode.turns.forEach((turn, k) => { owner[turn] = e; place[turn] = k; }));
  const filters = { player: "", task: "", fault: "", words: "" };
  let matches = [], now = -1;

  const choose = (keep) => {
    const words = filters.words.toLowerCase();
    matches = [];
    for (const episode of data.episodes) {
      if (filters.player !== "" && episode.player !== +filters.player) continue;
      if (filters.task !== "" && episode.task !== +filters.task) continue;
      if (filters.fault === "failed" && episode.end !== "failed") continue;
      for (const turn of episode.turns) {
        const one = data.turns[turn];
        if (filters.fault === "error" ? one.fault === "none" : filters.fault && filters.fault !== "failed" && one.fault !== filters.fault) continue;
        if (words && !(one.reply + "\n" + one.reasoning).toLowerCase().includes(words)) continue;
        matches.push(turn);
      }
    }
    if (!keep || matches.indexOf(now) < 0) now = matches.length ? matches[0] : -1;
    show();
  };
  const go = (turn) => { if (turn !== undefined && turn >= 0) { now = turn; show(); } };
  const step = (by) => { const at = data.episodes[owner[now]].turns; go(at[place[now] + by]); };
  const match = (by) => {
    let low = matches.indexOf(now);
    if (low < 0) low = matches.findIndex((turn) => turn > now) - (by > 0 ? 1 : 0);
    go(matches[low + by]);
  };
  const episode = (by) => {
    const at = data.episodes[owner[now]].turns;
    const edge = by > 0 ? matches.find((turn) => turn > at[at.length - 1]) : matches.filter((turn) => turn < at[0]).pop();
    if (edge !== undefined) go(by > 0 ? edge : data.episodes[owner[edge]].turns.find((turn) => matches.includes(turn)));
  };

  // ---- the bar
  const select = (key, title, options) => {
    const node = make("select", { id: "replay-" + key });
    for (const [value, text] of options) node.append(make("option", { value }, text));
    node.addEventListener("change", () => { filters[key] = node.value; choose(true); });
    return make("label", {}, title, node);
  };
  const search = make("input", { type: "search", id: "replay-words", placeholder: "text of the reply" });
  let timer = 0;
  search.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(() => { filters.words = search.value; choose(true); }, 150); });
  const count = make("p", { class: "count", "aria-live": "polite" });
  const present = new Set(data.turns.map((turn) => turn.fault));
  const kinds = [["", "all turns"], ["error", "all errors"], ...Object.entries(faults).filter(([key]) => present.has(key)).map(([key, [name]]) => [key, name])];
  if (data.episodes.some((one) => one.end === "failed")) kinds.push(["failed", "failed episodes"]);
  const bar = make("div", { class: "bar" },
    select("player", "player", [["", "all players"], ...data.players.map((name, k) => [k, name])]),
    select("task", "game", [["", "all games"], ...data.tasks.map((task, k) => [k, task.name])]),
    select("fault", "error", kinds), make("label", {}, "search", search), count);
  const button = (id, text, title, action) => make("button", { type: "button", id: "replay-" + id, title, on: action }, text);
  const back = button("back", "← turn", "previous turn of the episode", () => step(-1)), on = button("on", "turn →", "next turn of the episode", () => step(1));
  const up = button("up", "↑ episode", "previous episode", () => episode(-1)), down = button("down", "↓ episode", "next episode", () => episode(1));
  const before = button("before", "previous match", "previous turn that passes the filters", () => match(-1));
  const after = button("after", "next match", "next turn that passes the filters", () => match(1));
  const where = make("span", { class: "where" });
  const line = make("div", { class: "line", role: "group", "aria-label": "turns of the episode" });
  const body = make("div", {});
  const left = data.left_out ? make("p", { class: "note" }, `${data.left_out} further turns are in the traces, not on this page.`) : null;
  const keys = make("p", { class: "keys" });
  [["←", " "], ["→", " turn  "], ["↑", " "], ["↓", " episode  "], ["P", " "], ["N", " match  "], ["/", " search.  Blue: the cells of the move. Red: described wrongly; dashed: not stated."]].forEach(([key, text]) => keys.append(make("kbd", {}, key), text));
  root.tabIndex = 0;
  root.append(bar, make("div", { class: "steps" }, back, on, up, down, before, after, where), line, body, keys);
  if (left) root.append(left);

  // ---- one turn
  const picture = (turn, task) => {
    const [width, height] = task.size, scale = 1000 / Math.max(width, height), W = width * scale, H = height * scale;
    const draw = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `board of ${task.name}` });
    const rough = Math.max(width, height) < 200 ? "pixelated" : "auto";
    draw.append(svg("image", { href: "data:image/png;base64," + data.pictures[turn.picture], width: W, height: H, style: `image-rendering:${rough}` }));
    const box = (cell, grow) => {
      const [x0, y0, x1, y1] = task.boxes[cell];
      return { x: x0 * W - grow, y: y0 * H - grow, width: (x1 - x0) * W + 2 * grow, height: (y1 - y0) * H + 2 * grow, rx: 8, fill: "none" };
    };
    if (task.boxes.length) {
      for (const cell of turn.cells) if (task.boxes[cell]) draw.append(svg("rect", { ...box(cell, 5), stroke: "#1c7ed6", "stroke-width": 9 }));
      turn.wrong.forEach(([cell, said], k) => {
        const tip = svg("title", {}, `described as ${said < 0 ? "nothing" : task.symbols[said]}, is ${task.symbols[turn.true[k]]}`);
        draw.append(svg("rect", { ...box(cell, -4), stroke: "#fff", "stroke-width": 12 }));
        draw.append(svg("rect", { ...box(cell, -4), stroke: "#d3261f", "stroke-width": 6, "stroke-dasharray": said < 0 ? "14 9" : "none", "pointer-events": "all" }, tip));
      });
    }
    return draw;
  };
  const parts = (reply, names) => {
    const found = [], pattern = new RegExp(`<(${names.join("|")})>([\\s\\S]*?)</\\1>`, "g");
    let end = 0, one;
    while ((one = pattern.exec(reply))) {
      const gap = reply.slice(end, one.index).trim();
      if (gap) found.push(["outside the blocks", gap]);
      found.push([one[1], one[2]]);
      end = pattern.lastIndex;
    }
    const rest = reply.slice(end).trim();
    if (rest || !found.length) found.push([found.length ? "outside the blocks" : "reply", rest || "(empty)"]);
    return found;
  };
  const number = (value) => (Number.isInteger(value) ? String(value) : value.toFixed(3).replace(/0+$/, ""));

  function show() {
    count.textContent = `${matches.length.toLocaleString("en")} of ${data.turns.length.toLocaleString("en")} turns`;
    line.replaceChildren(); body.replaceChildren();
    const empty = now < 0;
    [back, on, up, down, before, after].forEach((node) => { node.disabled = empty; });
    if (empty) { where.textContent = ""; body.append(make("p", { class: "none" }, "No turn passes these filters.")); return; }
    const turn = data.turns[now], whole = data.episodes[owner[now]], task = data.tasks[whole.task], at = place[now];
    back.disabled = at === 0; on.disabled = at === whole.turns.length - 1;
    up.disabled = !(matches[0] < whole.turns[0]); down.disabled = !(matches[matches.length - 1] > whole.turns[whole.turns.length - 1]);
    before.disabled = !(matches[0] < now); after.disabled = !(matches[matches.length - 1] > now);
    where.textContent = `${data.players[whole.player]}, ${task.name}, episode ${whole.episode}, turn ${at + 1} of ${whole.turns.length}`;
    whole.turns.forEach((index, k) => {
      const [name, colour] = faults[data.turns[index].fault];
      line.append(make("button", { type: "button", title: `turn ${k + 1}: ${name}`, "aria-label": `turn ${k + 1}: ${name}`, "aria-current": index === now, vars: { "--c": colour }, on: () => go(index) }));
    });
    const [name, colour, ink] = faults[turn.fault];
    const facts = make("dl", { class: "facts2" });
    const fact = (title, ...values) => facts.append(make("dt", {}, title), make("dd", {}, ...values));
    fact("outcome", make("span", { class: "badge", vars: { "--c": colour, "--i": ink } }, name), turn.gain ? ` gain ${turn.gain}` : "");
    fact("move", turn.problem !== "none" ? `none (${turn.problem.replace(/_/g, " ")})` : turn.move);
    fact("oracle", turn.best);
    fact("terms", terms.map((term, k) => (turn.terms[k] === null || turn.terms[k] === undefined ? "" : `${term} ${number(turn.terms[k])}`)).filter(Boolean).join("  ·  "));
    fact("episode", `seed ${whole.seed}${whole.repeat ? `, repetition ${whole.repeat}` : ""}, ${whole.end}${whole.score === undefined ? "" : `, score ${whole.score}`}${whole.reason ? `: ${whole.reason}` : ""}`);
    fact("task", `level ${task.level}, look ${task.look}, ${task.mode} parsing`);
    const spent = Object.entries(turn.usage).map(([key, value]) => `${key.replace(/_/g, " ")} ${typeof value === "number" ? number(value) : value}`);
    fact("time", `${(turn.seconds ?? 0).toFixed(2)} s${spent.length ? "  ·  " + spent.join("  ·  ") : ""}`);
    const seen = turn.of ? `${turn.of - turn.wrong.length} of ${turn.of} cells described correctly` : "the game has no truth text";
    const side = make("div", { class: "picture" }, picture(turn, task), make("p", {}, seen));
    if (task.missing) side.append(make("p", { class: "missing" }, `The pictures cannot be drawn: ${task.missing}`));
    if (turn.wrong.length) {
      const list = make("ul", { class: "wrong" }), cols = task.shape[1];
      turn.wrong.forEach(([cell, said], k) => list.append(make("li", {}, `(${Math.floor(cell / cols)}, ${cell % cols}) `,
        make("b", {}, said < 0 ? "not stated" : task.symbols[said] ?? "?"), `, is ${task.symbols[turn.true[k]]}`)));
      side.append(list);
    }
    const text = make("div", {}, facts);
    if (turn.reasoning) text.append(make("h5", {}, "reasoning (told apart)"), make("pre", {}, turn.reasoning));
    for (const [title, content] of parts(turn.reply, task.blocks)) text.append(make("h5", {}, title), make("pre", {}, content));
    body.append(make("div", { class: "turn" }, side, text));
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) {
      if (event.key === "Escape") root.focus();
      return;
    }
    const near = root.getBoundingClientRect(), inside = root.contains(document.activeElement);
    if (!inside && (near.bottom < 0 || near.top > window.innerHeight)) return;
    const actions = { ArrowLeft: () => step(-1), ArrowRight: () => step(1), ArrowUp: () => episode(-1), ArrowDown: () => episode(1), n: () => match(1), p: () => match(-1), "/": () => search.focus() };
    const action = actions[event.key];
    if (!action || now < 0 || (!inside && /^Arrow(Up|Down)$/.test(event.key))) return;  // outside, these scroll the page
    event.preventDefault();
    action();
  });
  choose(false);
})();
