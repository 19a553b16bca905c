(() => {
  "use strict";
  const page = JSON.parse(document.getElementById("page-data").textContent);
  const byId = (id) => document.getElementById(id);
  const entries = [...document.querySelectorAll(".entry")];
  const storageKey = `audition ${location.pathname}`;
  // What was said here and is not in the file that the page was made from: term -> {verdict, ipa, source, note, at}.
  let said = {};
  let downloaded = true;
  let kept = true;

  const term = (entry) => entry.dataset.term;
  const radios = (entry) => [...entry.querySelectorAll("input[type=radio]")];
  const checked = (entry) => entry.querySelector("input[type=radio]:checked");
  const player = (entry) => entry.querySelector(":scope > .player .play");
  const option = (entry, verdict) => entry.querySelector(`:scope > .verdict [value=${verdict}]:not(:disabled)`);
  const note = (entry) => entry.querySelector(".note input");
  const oneLine = (text) => text.replace(/\s+/g, " ").trim();
  const now = () => new Date().toISOString().replace(/\.\d+Z$/, "Z");

  // ---- verdicts

  function choose(entry, radio) {
    radio.checked = true;
    record(entry);
  }

  function record(entry) {
    const radio = checked(entry);
    if (radio) {
      said[term(entry)] = {
        verdict: radio.value, ipa: radio.dataset.ipa, source: radio.dataset.source, note: note(entry).value, at: now(),
      };
      downloaded = false;
    }
    show(entry);
    keep();
    count();
  }

  function undo(entry) {
    delete said[term(entry)];
    for (const radio of radios(entry)) radio.checked = radio.defaultChecked;
    note(entry).value = note(entry).defaultValue;
    show(entry);
    keep();
    count();
    (checked(entry) || option(entry, "reject")).focus();
  }

  function show(entry) {
    const radio = checked(entry);
    const status = !radio ? "unjudged" : radio.value === "reject" ? "rejected" : radio.dataset.candidate ? "chosen" : "approved";
    const words = { unjudged: "Not judged", rejected: "Rejected", chosen: "A candidate is approved", approved: "Approved" };
    entry.dataset.status = status;
    const mine = term(entry) in said;
    entry.querySelector(".state").textContent = words[status] + (mine ? ", new" : "");
    entry.querySelector(".undo").hidden = !mine;
  }

  function count() {
    const of = { all: entries.length, unjudged: 0, rejected: 0, approved: 0 };
    for (const entry of entries) of[shown(entry)] += 1;
    for (const place of document.querySelectorAll("[data-count]")) place.textContent = of[place.dataset.count];
    byId("bar").value = of.all - of.unjudged;
    byId("progress").textContent = `${of.all - of.unjudged} of ${of.all} judged`;
  }

  const shown = (entry) => (entry.dataset.status === "chosen" ? "approved" : entry.dataset.status);

  // ---- what the browser keeps between visits; pages from disk may be refused it

  function keep() {
    try {
      localStorage.setItem(storageKey, JSON.stringify({ said, name: byId("judged-by").value }));
    } catch {
      kept = false;
    }
  }

  function recall() {
    let before = null;
    try {
      before = JSON.parse(localStorage.getItem(storageKey));
    } catch {
      kept = false;
    }
    if (!kept) tell("This browser cannot keep your verdicts for a page opened from disk: download them before you close it.");
    if (!before) return;
    byId("judged-by").value = before.name || "";
    for (const entry of entries) {
      const mine = (before.said || {})[term(entry)];
      if (!mine || mine.at <= entry.dataset.judgedAt) continue;
      const same = (radio) => radio.value === mine.verdict && radio.dataset.ipa === mine.ipa && !radio.disabled;
      const radio = radios(entry).find(same);
      if (!radio) continue;
      radio.checked = true;
      note(entry).value = mine.note;
      said[term(entry)] = mine;
      downloaded = false;
    }
  }

  window.addEventListener("beforeunload", (event) => {
    if (!kept && !downloaded) event.preventDefault();
  });

  // ---- the file

  const quoted = (value) => (/[",\r\n]/.test(value) ? `"${value.replace(/"/g, '""')}"` : value);

  function download() {
    const name = oneLine(byId("judged-by").value);
    if (!name) {
      tell("Your name goes with each verdict: fill it in first.");
      byId("judged-by").focus();
      return;
    }
    const mine = Object.entries(said).map(([words, each]) => ({
      term: words, verdict: each.verdict, ipa: each.ipa, note: oneLine(each.note), judged_by: name, judged_at: each.at,
      ipa_source: each.source, engine: page.engine, voice: page.voice,
    }));
    const rows = [...page.verdicts, ...mine].map((row) => page.columns.map((column) => quoted(row[column])));
    const text = [page.columns, ...rows].map((cells) => `${cells.join(",")}\n`).join("");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
    link.download = "verdicts.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    downloaded = true;
    const amount = mine.length === 1 ? "1 new verdict" : `${mine.length} new verdicts`;
    tell(`verdicts.csv holds ${amount}. Save it as ${byId("verdicts-path").textContent}, then run the cycle again.`);
  }

  function tell(text) {
    byId("said").textContent = text;
  }

  // ---- players: one at a time

  function play(button) {
    const audio = button.parentElement.querySelector("audio");
    if (!audio.paused) {
      audio.pause();
      return;
    }
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    audio.currentTime = 0;
    audio.play().catch((error) => tell(`The clip cannot be played: ${error.message}`));
  }

  for (const audio of document.querySelectorAll("audio")) {
    const button = audio.parentElement.querySelector(".play");
    const seconds = audio.parentElement.querySelector(".seconds");
    audio.controls = false;
    button.addEventListener("click", () => play(button));
    audio.addEventListener("play", () => button.setAttribute("data-playing", ""));
    audio.addEventListener("pause", () => button.removeAttribute("data-playing"));
    const length = () => (seconds.textContent = `${audio.duration.toFixed(1)} s`);
    if (audio.readyState > 0) length();
    else audio.addEventListener("loadedmetadata", length);
    audio.addEventListener("error", () => (seconds.textContent = "missing"));
  }

  // ---- filters

  function filter() {
    const wanted = document.querySelector("input[name=show]:checked").value;
    const source = byId("source").value;
    const text = byId("find").value.trim().toLowerCase();
    let found = 0;
    for (const entry of entries) {
      const fits =
        (wanted === "all" || shown(entry) === wanted) &&
        (!source || entry.dataset.source === source) &&
        term(entry).includes(text);
      entry.hidden = !fits;
      found += fits;
    }
    byId("nothing").hidden = found > 0;
  }

  byId("show-everything").addEventListener("click", () => {
    document.querySelector(".filters").reset();
    filter();
    byId("show-all").focus();
  });
  document.querySelector(".filters").addEventListener("input", filter);
  document.querySelector(".filters").addEventListener("submit", (event) => event.preventDefault());

  // ---- keys

  function step(from, by) {
    const visible = entries.filter((entry) => !entry.hidden);
    const next = visible[from ? visible.indexOf(from) + by : 0];
    if (!next) return null;
    const button = player(next);
    (button || option(next, "reject")).focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
    return button;
  }

  function judgeAndGoOn(entry, radio) {
    choose(entry, radio);
    const button = step(entry, 1);
    if (button) play(button);
  }

  document.addEventListener("keydown", (event) => {
    const target = event.target;
    const typing = target.matches("select, textarea, input:not([type=radio]):not([type=checkbox])");
    if (typing && event.key === "Escape") {
      const entry = target.closest(".entry");
      if (entry) (player(entry) || option(entry, "reject")).focus();
      return;
    }
    if (typing || !byId("keys").checked || event.ctrlKey || event.metaKey || event.altKey) return;
    const entry = target.closest(".entry");
    const digit = /^Digit([1-9])$/.exec(event.code);
    const candidate = entry && digit ? entry.querySelectorAll(".candidate")[digit[1] - 1] : null;
    const actions = {
      j: () => step(entry, 1),
      k: () => step(entry, -1),
      p: entry && player(entry) && (() => play(player(entry))),
      a: entry && option(entry, "approve") && (() => judgeAndGoOn(entry, option(entry, "approve"))),
      r: entry && (() => judgeAndGoOn(entry, option(entry, "reject"))),
      n: entry && (() => note(entry).focus()),
    };
    const chosen = candidate && candidate.querySelector("input[type=radio]:not(:disabled)");
    const heard = candidate && candidate.querySelector(".play");
    let action = actions[event.key];
    if (candidate && event.shiftKey) action = chosen && (() => judgeAndGoOn(entry, chosen));
    else if (candidate) action = heard && (() => play(heard));
    if (!action) return;
    event.preventDefault();
    action();
  });

  // ---- begin

  for (const entry of entries) {
    for (const radio of radios(entry)) radio.addEventListener("change", () => record(entry));
    note(entry).addEventListener("input", () => record(entry));
    entry.querySelector(".undo").addEventListener("click", () => undo(entry));
  }
  byId("judged-by").addEventListener("input", keep);
  byId("download").addEventListener("click", download);
  recall();
  for (const entry of entries) show(entry);
  count();
  filter();
})();
