// A copy button on every block of code, and blocks that scroll can be reached with the keyboard.
function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.body.appendChild(document.createElement("textarea")); // a page that did not come by https
  area.value = text;
  area.select();
  document.execCommand("copy");
  area.remove();
}

for (const block of document.querySelectorAll("div.cell_input div.highlight, details div.highlight")) {
  const button = document.createElement("button");
  button.className = "copy";
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", "Copy this code");
  button.onclick = async () => {
    await copy(block.querySelector("pre").textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  };
  block.append(button);
}

function reachable() {
  for (const box of document.querySelectorAll("pre, div.math, .table-wrapper")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}
addEventListener("resize", reachable);
addEventListener("toggle", reachable, true);
reachable();

// A link that leads into a fold, or to the heading above one, opens it.
function openTo(address) {
  const target = document.getElementById(decodeURIComponent(address.slice(1)));
  const closed = [target?.querySelector(":scope > details.deeper")]; // the target is a section, and that is its fold
  for (let fold = target?.closest("details"); fold; fold = fold.parentElement.closest("details")) closed.push(fold);
  const opened = closed.filter((fold) => fold && !fold.open);
  for (const fold of opened) fold.open = true;
  if (opened.length) target.scrollIntoView();
}
const led = () => location.hash && openTo(location.hash);
addEventListener("hashchange", led);
addEventListener("click", (event) => event.target.closest('a[href^="#"]')?.hash === location.hash && led());
led();

// The search opens what holds one of its words. Sphinx marks them a moment later, and then forgets them.
const searched = localStorage.getItem("sphinx_highlight_terms") || new URLSearchParams(location.search).get("highlight") || "";
const words = searched.toLowerCase().split(/\s+/).filter(Boolean);
for (const fold of document.querySelectorAll("details.deeper")) {
  const text = fold.textContent.toLowerCase();
  if (words.some((word) => text.includes(word))) fold.open = true;
}

// The printer opens them all, and closes again what it opened. Pictures that were to come later come now.
function printed(begins) {
  if (begins) for (const picture of document.querySelectorAll("img[loading=lazy]")) picture.loading = "eager";
  for (const fold of document.querySelectorAll(begins ? "details.deeper:not([open])" : "details[data-printed]")) {
    fold.toggleAttribute("data-printed", begins);
    fold.open = begins;
  }
}
addEventListener("beforeprint", () => printed(true));
addEventListener("afterprint", () => printed(false));
matchMedia("print").addEventListener("change", (event) => printed(event.matches));
