"use strict";
(() => {
  const one = (id) => document.getElementById(id);
  const items = [...document.querySelectorAll("article")];
  const timeline = one("timeline");
  const words = one("words");
  const kind = one("kind");
  const action = one("action");
  const rule = one("rule");
  const nothing = document.querySelector(".nothing");
  const texts = new Map();
  let shown = items;
  let current = null;

  const textOf = (item) => {
    if (!texts.has(item)) texts.set(item, item.textContent.toLowerCase());
    return texts.get(item);
  };

  const filter = () => {
    const wanted = words.value.trim().toLowerCase();
    const matches = (item) =>
      (!kind.value || item.dataset.kind === kind.value) &&
      (!action.value || item.dataset.action === action.value) &&
      (!rule.value || item.dataset.rules.includes(` ${rule.value} `)) &&
      (!wanted || textOf(item).includes(wanted));
    shown = [];
    for (const item of items) {
      const match = matches(item);
      item.hidden = !match;
      if (match) shown.push(item);
    }
    const all = shown.length === items.length;
    timeline.classList.toggle("filtered", !all);
    nothing.hidden = shown.length > 0;
    one("count").textContent = all ? `${items.length} entries` : `${shown.length} of ${items.length}`;
  };

  const go = (item) => {
    if (!item) return;
    if (current) current.classList.remove("current");
    current = item;
    current.classList.add("current");
    current.tabIndex = -1;
    current.focus({preventScroll: true});
    current.scrollIntoView({block: "nearest"});
  };

  const move = (step) => {
    const at = shown.indexOf(current);
    if (at >= 0) return go(shown[at + step]);
    const top = one("filters").getBoundingClientRect().bottom;
    return go(shown.find((item) => item.getBoundingClientRect().bottom > top));
  };

  const unfold = (item) => {
    if (!item) return;
    const opening = !item.classList.contains("open");
    item.classList.toggle("open", opening);
    for (const details of item.querySelectorAll("details")) details.open = opening;
  };

  timeline.addEventListener("click", (event) => {
    const item = event.target.closest("article");
    if (item && event.target.closest(".folded") && !item.classList.contains("open")) unfold(item);
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      for (const field of [words, kind, action, rule]) field.value = "";
      filter();
      document.activeElement.blur();
      if (current) current.scrollIntoView({block: "nearest"});
      return;
    }
    if (/^(INPUT|SELECT)$/.test(document.activeElement.tagName)) return;
    const act = {j: () => move(1), k: () => move(-1), e: () => unfold(current), "/": () => words.focus()}[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  });

  let typing = 0;
  words.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(filter, 120);
  });
  for (const field of [kind, action, rule]) field.addEventListener("change", filter);
  addEventListener("hashchange", () => go(items.find((item) => `#${item.id}` === location.hash)));
  one("filters").hidden = false;
  document.documentElement.classList.add("live");
  filter();
})();
