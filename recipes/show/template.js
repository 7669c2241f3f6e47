// Draws the page's data. Data becomes text nodes and attributes only: no markup is ever made of it.
"use strict";

const page = JSON.parse(document.getElementById("data").textContent);
const top_level = page.levels - 1;
const most_reward = Object.values(page.weights).reduce((sum, weight) => sum + weight, 0);
const $ = (id) => document.getElementById(id);

// ---- making elements ----------------------------------------------------------------------------------------------

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (name.startsWith("--")) node.style.setProperty(name, value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}
const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const shape = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
const drawing = (label, ...shapes) => shape("svg", { role: "img", "aria-label": label }, ...shapes);

const percent = (share) => `${(100 * share).toFixed(4)}%`;
const decimal = (value, digits = 1) => (value === null ? "–" : value.toFixed(digits).replace("-", "−"));
const digits = (value) => value.toPrecision(3).replace("-", "−");
const signed = (value) => (Math.abs(value) < 0.0005 ? "0" : (value > 0 ? "+" : "") + decimal(value, 3));
const stat = (value) => (value === null ? "–" : String(Number(value.toPrecision(4))));
const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;
const seconds = (time) => `${decimal(time)} s`;
const span_text = ([start, end]) => `${decimal(start)}–${decimal(end)} s`;
const cut_note = (item) =>
  item.cut_characters ? el("small", {}, ` … cut: ${item.cut_characters.toLocaleString("en")} more characters`) : null;
const total = (terms, turn) => Object.values(terms).reduce((sum, values) => sum + values[turn], 0);
const so_far = (values, turn) => values.slice(0, turn + 1).reduce((sum, value) => sum + value, 0);

const left = new Set(["run", "subset", "says"]);

function table(headings, rows) {
  return [
    el("thead", {}, el("tr", {}, ...headings.map((text) => el("th", { scope: "col", class: left.has(text) && "text" }, text)))),
    el("tbody", {}, ...rows.map((cells) => el("tr", {}, ...cells))),
  ];
}

// ---- what a reply is ----------------------------------------------------------------------------------------------

function mark(reply, dialogue, index) {
  const judged = dialogue.judged;
  const levels = judged ? Object.values(judged.levels[index]).filter((level) => level !== null) : [];
  const level = levels.length ? Math.max(...levels) : null;
  const repeated = judged ? judged.repeated[index] === true : false;
  const looks = reply.out_of_span ? "outside" : level === null ? "none" : `level-${level}`;
  return {
    repeated,
    class: `reply ${looks}${repeated ? " repeated" : ""}`,
    sign: reply.out_of_span ? "×" : level === null ? "–" : String(level),
    words: [
      reply.out_of_span ? "out of span" : !judged ? "unscored" : level === null ? "in span, not counted" : `score ${level} of ${top_level}`,
      ...(repeated ? ["repeated"] : []),
    ],
  };
}
const repeats = (dialogue) => (dialogue.judged ? dialogue.judged.repeated.filter((flag) => flag).length : 0);

// ---- lanes --------------------------------------------------------------------------------------------------------

const lane = (kind, label, attributes, ...children) =>
  el("div", { class: `lane ${kind}` }, el("div", { class: "label" }, label), el("div", { class: "track", ...attributes }, ...children));

function scale([start, end]) {
  const at = (time) => Math.min(1, Math.max(0, (time - start) / (end - start)));
  return { at: (time) => percent(at(time)), width: (from, to) => percent(at(to) - at(from)), start, end };
}

function clock(time) {
  const minutes = Math.floor(time / 60);
  return minutes ? `${minutes}:${String(time % 60).padStart(2, "0")}` : `${time} s`;
}

function axis_lane(question, x) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
  const step = steps.find((one) => (x.end - x.start) / one <= 8) ?? 7200;
  const ticks = [];
  for (let time = Math.ceil(x.start / step) * step; time <= x.end; time += step) {
    const anchor = time - x.start < step / 4 ? "start" : x.end - time < step / 2 ? "end" : "middle";
    ticks.push(
      shape("line", { class: "tick", x1: x.at(time), x2: x.at(time), y1: 0, y2: 5 }),
      shape("text", { x: x.at(time), y: 16, dx: anchor === "start" ? 4 : 0, "text-anchor": anchor }, clock(time)),
    );
  }
  const asked = question.user.filter((text) => text.time <= x.end).map((text) =>
    shape("line", { class: "asks", x1: x.at(text.time), x2: x.at(text.time), y1: 0, y2: 10 },
      shape("title", {}, `${seconds(text.time)} user: ${text.text}`)));
  return lane("axis", "time, user", {}, drawing("Time axis with the user's texts", ...ticks, ...asked));
}

function video_lane(question) {
  const { images, problem } = question.thumbnails;
  if (problem) return lane("video", "video", {}, el("p", { class: "problem" }, `No pictures: ${problem}`));
  const alt = (index) => (index ? "" : `${images.length} pictures of the video`);
  return lane("video", "video", {}, ...images.map((src, index) => el("img", { src, alt: alt(index) })));
}

function gold_lane(question, x) {
  const row_ends = [];
  const boxes = question.gold.map((gold, index) => {
    const [start, end] = gold.reply_span;
    const free = row_ends.findIndex((until) => until <= start);
    const row = free < 0 ? row_ends.length : free;
    row_ends[row] = end;
    const share = (time) => percent(Math.min(1, Math.max(0, (time - start) / (end - start))));
    const [from, to] = gold.related_span;
    return el("div", {
      class: "box", title: gold.text, "--row": row, "--left": x.at(start), "--width": x.width(start, end),
      "--related-left": share(from), "--related-width": `calc(${share(to)} - ${share(from)})`,
    }, el("span", {}, `${index + 1} ${gold.text}`));
  });
  return lane("gold", "when to speak", { "--rows": Math.max(1, row_ends.length), "aria-hidden": "true" }, ...boxes);
}

const span_rects = (question, x) => question.gold.map(({ reply_span: [start, end] }) =>
  shape("rect", { class: "span", x: x.at(start), width: x.width(start, end), y: 0, height: "100%" }));

function replies_lane(question, run, dialogue, x, choose) {
  const buttons = dialogue.replies.map((reply, index) => {
    const { class: looks, sign, words } = mark(reply, dialogue, index);
    const show = () => choose(run, dialogue, index, buttons[index]);
    return el("button", {
      type: "button", class: looks, tabindex: index ? -1 : 0, click: show, focus: show, "--left": x.at(reply.time),
      "aria-label": `${page.runs[run].name}, ${seconds(reply.time)}, ${words.join(", ")}: ${reply.text.slice(0, 200)}`,
    }, sign);
  });
  const keys = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
  const keydown = (event) => {
    if (!(event.key in keys)) return;
    const index = Math.max(0, Math.min(buttons.length - 1, buttons.indexOf(document.activeElement) + keys[event.key]));
    buttons.forEach((button, other) => button.setAttribute("tabindex", other === index ? 0 : -1));
    buttons[index].focus();
    event.preventDefault();
  };
  return lane("replies", "what it said", {
    role: "group", "aria-label": `Replies of ${page.runs[run].name}`, "--turns": dialogue.turns.length, keydown,
  }, drawing("Gold spans", ...span_rects(question, x)), ...buttons);
}

function score_lane(question, dialogue, x) {
  const y = (height) => percent(0.95 - 0.9 * (height / top_level));
  const shapes = dialogue.judged.spans.flatMap((span, index) => {
    const [start, end] = question.gold[index].reply_span;
    const until = (steps, step) => (step + 1 < steps.length ? steps[step + 1][0] : end);
    const areas = span.counted_steps.map(([time, height], step) => shape("rect", {
      class: "area", x: x.at(time), width: x.width(time, until(span.counted_steps, step)), y: y(height),
      height: percent(0.9 * (height / top_level)),
    }));
    const curve = span.steps.flatMap(([time, height], step) => [
      shape("line", { class: "curve", x1: x.at(time), x2: x.at(until(span.steps, step)), y1: y(height), y2: y(height) }),
      step ? shape("line", { class: "curve", x1: x.at(time), x2: x.at(time), y1: y(span.steps[step - 1][1]), y2: y(height) }) : null,
    ]);
    const bounds = [start, end].map((time) => shape("line", { class: "bound", x1: x.at(time), x2: x.at(time), y1: 0, y2: "100%" }));
    const value = shape("text", { class: "value", x: x.at((start + end) / 2), y: "36%", "text-anchor": "middle" }, decimal(span.pauc, 0));
    return [...bounds, ...areas, ...curve.filter((line) => line), value];
  });
  const words = dialogue.judged.spans.map((span, index) => `span ${index + 1}: ${decimal(span.pauc)}`).join(", ");
  return lane("score", "score, PAUC", {}, drawing(`PAUC, ${words}`,
    shape("line", { class: "baseline", x1: 0, x2: "100%", y1: y(0), y2: y(0) }), ...shapes));
}

function bars_lane(kind, label, series, dialogue, x, [low, high]) {
  const share = (value) => (value - low) / (high - low || 1);
  const bars = dialogue.turns.flatMap(([start, end], turn) => {
    let base = 0;
    return series.filter(({ values }) => values[turn] !== null).map(({ name, values }) => {
      const [from, to] = [base, base + values[turn]].sort((one, other) => one - other);
      base += values[turn];
      return shape("rect", {
        class: name, x: x.at(start), width: `calc(${x.width(start, end)} - 1px)`, y: percent(1 - share(to)),
        height: percent(share(to) - share(from)),
      });
    });
  });
  return lane(kind, label, {}, drawing(label, ...bars));
}

function reward_lane(dialogue, x) {
  const series = Object.entries(dialogue.judged.terms).map(([name, values]) =>
    ({ name, values: values.map((_, turn) => so_far(values, turn)) }));
  return bars_lane("reward", `reward so far, of ${most_reward}`, series, dialogue, x, [0, most_reward]);
}

function stat_lanes(question, dialogue, x) {
  return Object.entries(dialogue.stats).map(([name, values]) => {
    const everywhere = question.runs.flatMap((other) => other?.stats[name] ?? []).filter((value) => value !== null);
    const bounds = [Math.min(0, ...everywhere), Math.max(0, ...everywhere)];
    return bars_lane("stat", `${name}, to ${stat(bounds[1])}`, [{ name: "stat", values }], dialogue, x, bounds);
  });
}

// ---- an open question ---------------------------------------------------------------------------------------------

function run_block(question, run, dialogue, x, choose) {
  const name = el("h4", {}, page.runs[run].name);
  if (!dialogue) return [el("div", { class: "run-heading" }, name, el("span", {}, "has not played this question"))];
  const outside = dialogue.replies.filter((reply) => reply.out_of_span).length;
  const reward = dialogue.judged && dialogue.turns.reduce((sum, _, turn) => sum + total(dialogue.judged.terms, turn), 0);
  const facts = dialogue.judged
    ? [el("span", {}, `PAUC ${decimal(dialogue.judged.pauc)}`), el("span", {}, `reward ${decimal(reward, 2)}`)]
    : [el("span", { class: "worse" }, "unscored: the judge gave no answer")];
  const heading = el("div", { class: "run-heading" }, name, ...facts,
    el("span", {}, dialogue.replies.length ? count(dialogue.replies.length, "reply", "replies") : "silent"),
    repeats(dialogue) ? el("span", { class: "bad" }, `${repeats(dialogue)} repeated`) : null,
    outside ? el("span", { class: "worse" }, `${outside} out of span`) : null);
  const scores = dialogue.judged ? [score_lane(question, dialogue, x), reward_lane(dialogue, x)] : [];
  return [heading, replies_lane(question, run, dialogue, x, choose), ...scores, ...stat_lanes(question, dialogue, x)];
}

function reply_detail(question, run, dialogue, index) {
  const reply = dialogue.replies[index];
  const levels = dialogue.judged ? Object.entries(dialogue.judged.levels[index]) : [];
  const terms = dialogue.judged ? Object.entries(dialogue.judged.terms) : [];
  const facts = [
    ...levels.map(([span, level]) => [`span ${Number(span) + 1}, ${span_text(question.gold[span].reply_span)}`,
      level === null ? "not counted" : `score ${level} of ${top_level}`]),
    ...terms.map(([name, values]) => [`${name} × ${page.weights[name]}`,
      `${signed(values[reply.turn])}, so far ${decimal(so_far(values, reply.turn), 3)}`]),
    ...(terms.length ? [["reward of this turn", signed(total(dialogue.judged.terms, reply.turn))]] : []),
    ...Object.entries(dialogue.stats).map(([name, values]) => [name, stat(values[reply.turn])]),
  ];
  return [
    el("p", {}, el("b", {}, page.runs[run].name), ` at ${seconds(reply.time)}: ${mark(reply, dialogue, index).words.join(", ")}`),
    el("blockquote", {}, reply.text, cut_note(reply)),
    el("dl", {}, ...facts.map(([term, value]) => el("div", {}, el("dt", {}, term), el("dd", {}, value)))),
  ];
}

function turns_table(run, dialogue) {
  const terms = Object.entries(dialogue.judged?.terms ?? {});
  const stats = Object.entries(dialogue.stats);
  const said = new Map(dialogue.replies.map((reply) => [reply.turn, reply]));
  const headings = ["turn", "decides at", "says", ...terms.map(([name]) => name), ...(terms.length ? ["reward"] : []),
    ...stats.map(([name]) => name)];
  const rows = () => dialogue.turns.map(([, end], turn) => [
    el("td", {}, String(turn)),
    el("td", {}, seconds(end)),
    el("td", { class: "text said" }, said.has(turn) ? said.get(turn).text.slice(0, 200) : "–"),
    ...terms.map(([, values]) => el("td", {}, signed(values[turn]))),
    ...(terms.length ? [el("td", { class: "main" }, signed(total(dialogue.judged.terms, turn)))] : []),
    ...stats.map(([, values]) => el("td", {}, stat(values[turn]))),
  ]);
  const label = `Every turn of ${page.runs[run].name}`;
  const holder = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label });
  const toggle = (event) => event.target.open && holder.replaceChildren(el("table", {}, ...table(headings, rows())));
  return el("details", { toggle }, el("summary", {}, `${label}: terms${stats.length ? " and statistics" : ""}`), holder);
}

const texts = (items) => el("ol", { class: "texts" }, ...items.map(([when, item, prefix]) =>
  el("li", {}, el("span", { class: "when" }, when), el("span", {}, prefix, item.text, cut_note(item)))));

function question_body(question) {
  const x = scale(question.axis);
  const detail = el("div", { class: "detail", role: "region", "aria-label": "Chosen reply", "aria-live": "polite" },
    el("p", { class: "note" }, "Choose a reply to read it: click it, or go there with Tab and the arrow keys."));
  const body = el("div", { class: "body" });
  let chosen = null;
  const choose = (run, dialogue, index, button) => {
    if (button === chosen) return;
    chosen?.removeAttribute("aria-current");
    (chosen = button).setAttribute("aria-current", "true");
    body.classList.add("pointed");
    body.style.setProperty("--cursor", x.at(dialogue.replies[index].time));
    detail.replaceChildren(...reply_detail(question, run, dialogue, index));
  };
  const played = question.runs.flatMap((dialogue, run) => (dialogue ? [[run, dialogue]] : []));
  const gold = question.gold.map((one, index) => [span_text(one.reply_span), one, el("b", {}, `${index + 1} `)]);
  const user = question.user.map((one) => [seconds(one.time), one, ""]);
  body.append(
    video_lane(question), axis_lane(question, x), gold_lane(question, x), texts(gold),
    ...(user.length > 1 ? [el("details", {}, el("summary", {}, `${user.length} texts of the user`), texts(user))] : []),
    ...question.runs.flatMap((dialogue, run) => run_block(question, run, dialogue, x, choose)),
    detail,
    ...played.map(([run, dialogue]) => turns_table(run, dialogue)),
  );
  return body;
}

// ---- the list of questions ----------------------------------------------------------------------------------------

function chip(dialogue, run) {
  const pauc = dialogue?.judged?.pauc ?? null;
  return el("span", { class: "chip", "--share": percent((pauc ?? 0) / 100) },
    `${page.runs[run].name} `, el("b", {}, dialogue ? decimal(pauc, 0) : "not played"));
}

function card(question, index) {
  const asked = question.user[0]?.text ?? question.id;
  const button = el("button", { type: "button", "aria-expanded": "false", click: () => open(!body) },
    el("span", {}, el("span", { class: "asked" }, asked), el("span", { class: "identity" }, `${question.subset} · ${question.id}`)),
    el("span", { class: "chips", title: "PAUC by run" }, ...question.runs.map(chip)));
  const node = el("article", { class: "question", "data-id": question.id }, el("h3", {}, button));
  let body = null;
  const open = (wanted) => {
    body?.remove();
    body = wanted ? question_body(question) : null;
    if (body) node.append(body);
    button.setAttribute("aria-expanded", String(wanted));
  };
  const words = [question.id, ...question.user, ...question.gold, ...question.runs.flatMap((run) => run?.replies ?? [])];
  const haystack = words.map((item) => (item.text ?? item).toLowerCase()).join("\n");
  return { question, index, node, button, open, haystack };
}

const cards = page.questions.map(card);
const pressed = (id) => $(id).getAttribute("aria-pressed") === "true";

function update() {
  const one = $("run").value;
  const considered = ({ question }) => (one === "" ? question.runs : [question.runs[one]]).filter((dialogue) => dialogue);
  const worst = (item) => Math.min(...considered(item).map((dialogue) => dialogue.judged?.pauc ?? Infinity));
  const wanted = $("search").value.trim().toLowerCase();
  const matches = (item) =>
    considered(item).length > 0 &&
    (!pressed("silent") || considered(item).some((dialogue) => dialogue.replies.length === 0)) &&
    (!pressed("repeated") || considered(item).some((dialogue) => repeats(dialogue) > 0)) &&
    (!$("subset").value || item.question.subset === $("subset").value) &&
    item.haystack.includes(wanted);
  const order = [...cards].sort((a, b) => (pressed("worst") && worst(a) - worst(b)) || a.index - b.index);
  for (const item of order) item.node.hidden = !matches(item);
  $("questions").replaceChildren(...order.map((item) => item.node));
  const shown = order.filter((item) => !item.node.hidden).length;
  $("count").textContent = `${shown} of ${count(cards.length, "question")}`;
  $("none").hidden = shown > 0;
}

function scores_table() {
  const headings = ["run", "subset", "questions", "spans", "PAUC ω 0", "ω 0.5 [95 %]", "ω 1", "duplicates %", "replies",
    "out of span %", "delay s", "covered %"];
  const rows = page.runs.flatMap((run) => Object.entries(run.subsets).map(([subset, row]) => [
    el("th", { scope: "row" }, run.name),
    el("td", { class: "text" }, subset),
    el("td", {}, String(row.questions)),
    el("td", {}, String(row.spans)),
    el("td", {}, decimal(row.pauc["0"])),
    el("td", { class: "main" }, decimal(row.pauc["0.5"]),
      row.pauc_ci95 ? el("small", {}, ` [${row.pauc_ci95.map((bound) => decimal(bound, 0)).join(", ")}]`) : null),
    el("td", {}, decimal(row.pauc["1"])),
    el("td", {}, decimal(row.duplicates), row.repeatable ? el("small", {}, ` of ${row.repeatable}`) : null),
    ...["replies_per_question", "out_of_span", "mean_delay_s", "covered"].map((key) => el("td", {}, decimal(row[key]))),
  ]));
  $("scores").append(...table(headings, rows));
}

// ---- training -----------------------------------------------------------------------------------------------------

const curves = [
  { label: "held-out reward", value: (row) => row.reward, band: (row) => row.reward_ci95 },
  { label: "sampled reward since the last evaluation", value: (row) => row.sampled_reward },
  { label: "PAUC ω 0.5", value: (row) => row.pauc["0.5"], band: (row) => row.pauc_ci95 },
  { label: "delay s", value: (row) => row.mean_delay_s },
  { label: "covered %", value: (row) => row.covered },
  { label: "repeated %", value: (row) => row.repeated, from_zero: true },
  { label: "replies a question", value: (row) => row.replies_per_question },
  { label: "p(speak) while the answer shows", value: (row) => row.p_speak_visible, from_zero: true },
  { label: "p(speak) outside of spans", value: (row) => row.p_speak_outside, from_zero: true },
];

function training_curve({ label, value, band, from_zero = false }) {
  const rows = page.training.flatMap((training) => training.rows);
  const known = (row) => value(row) !== undefined && value(row) !== null;
  const heights = rows.filter(known).flatMap((row) => (band ? band(row) : [value(row)]));
  if (!heights.length) return null;
  const last = Math.max(1, ...rows.map((row) => row.step));
  const least = from_zero ? 0 : Math.min(...heights);
  const most = Math.max(...heights) > least ? Math.max(...heights) : least + 1;
  const point = (step, height) => `${(100 * step) / last},${100 - (100 * (height - least)) / (most - least)}`;
  const path = (training, height) => training.rows.filter(known).map((row) => point(row.step, height(row)));
  const lines = page.training.flatMap((training, run) => [
    band ? shape("polygon", { class: `band run-${run}`, points: [
      ...path(training, (row) => band(row)[0]), ...path(training, (row) => band(row)[1]).reverse()].join(" ") }) : null,
    shape("polyline", { class: `run-${run}`, points: path(training, value).join(" ") }),
  ]);
  const told = page.training.map((training) =>
    `${training.name}: ${training.rows.filter(known).map((row) => `step ${row.step} ${digits(value(row))}`).join(", ")}`);
  const plot = drawing(`${label}. ${told.join("; ")}`, ...lines.filter((line) => line));
  plot.setAttribute("viewBox", "0 0 100 100");
  plot.setAttribute("preserveAspectRatio", "none");
  const shown = `${label}, ${from_zero ? 0 : digits(least)} to ${digits(most)}${band ? ", shaded: 95 %" : ""}`;
  return el("figure", {}, el("figcaption", {}, shown), el("div", { class: "plot" }, plot),
    el("div", { class: "steps" }, el("span", {}, "step 0"), el("span", {}, String(last))));
}

function training() {
  $("training").hidden = page.training.length === 0;
  if (!page.training.length) return;
  $("curves").append(...curves.map(training_curve).filter((curve) => curve));
  $("trainings").append(...page.training.map(({ name }, run) =>
    el("li", {}, el("span", { class: `swatch run-${run}`, "aria-hidden": "true" }), name)));
}

function legend() {
  const reply = (looks, sign, words) => el("li", {}, el("span", { class: `reply ${looks}`, "aria-hidden": "true" }, sign), words);
  const swatch = (color, words) => {
    const box = el("span", { class: "swatch", "aria-hidden": "true" });
    box.style.background = `var(--${color})`;
    return el("li", {}, box, words);
  };
  $("legend").append(
    swatch("gold-tint", "gold span: a reply counts"), swatch("gold-related", "the video shows it"),
    ...Array.from({ length: page.levels }, (_, level) => reply(`level-${level}`, String(level),
      `judged ${level} of ${top_level}, with all said in the span so far`)),
    reply("none", "–", "in span, but not counted"), reply("outside", "×", "out of span"),
    reply("none repeated", "–", "ringed: said before"),
    swatch("accent", `line: score so far; shaded: what PAUC ω ${page.omega} counts, delays × ${1 - page.omega}`),
    ...Object.entries(page.weights).map(([name, weight]) => swatch(`term-${name}`, `reward ${name}, up to ${weight}`)),
  );
}

function step(by) {
  const shown = [...$("questions").children].filter((node) => !node.hidden);
  if (!shown.length) return;
  const here = shown.findIndex((node) => node.contains(document.activeElement));
  const next = shown[here < 0 ? (by > 0 ? 0 : shown.length - 1) : Math.max(0, Math.min(shown.length - 1, here + by))];
  next.querySelector("h3 button").focus();
  next.scrollIntoView({ block: "nearest" });
}

function keydown(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select")) return;
  const on_question = event.target.matches(".question h3 button");
  const moves = { j: 1, k: -1, ...(on_question ? { ArrowDown: 1, ArrowUp: -1 } : {}) };
  if (event.key in moves) {
    step(moves[event.key]);
    event.preventDefault();
  }
}

$("title").textContent = page.runs.map((run) => run.name).join(" · ");
document.title = `proactive show: ${$("title").textContent}`;
$("judge").textContent = page.judge;
page.runs.forEach((run, index) => $("run").append(el("option", { value: index }, run.name)));
$("of-run").hidden = page.runs.length === 1;
const subsets = [...new Set(page.questions.map((question) => question.subset))];
for (const subset of subsets) $("subset").append(el("option", { value: subset }, subset));
$("of-subset").hidden = subsets.length === 1;
for (const id of ["worst", "silent", "repeated"]) {
  $(id).addEventListener("click", () => { $(id).setAttribute("aria-pressed", String(!pressed(id))); update(); });
}
for (const id of ["run", "subset", "search"]) $(id).addEventListener("input", update);
$("filters").addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("keydown", keydown);
scores_table();
training();
legend();
$("legend").parentElement.open = !matchMedia("(max-width: 720px)").matches;
update();
cards[0]?.open(true);
