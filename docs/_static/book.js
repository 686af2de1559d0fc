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

// A link or the search that leads into a fold opens it, and so does the printer.
function openTo(address) {
  const target = document.getElementById(decodeURIComponent(address.slice(1)));
  if (!target) return;
  for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  const own = target.querySelector(":scope > details.deeper");
  if (own) own.open = true;
  target.scrollIntoView();
}
const led = () => location.hash && openTo(location.hash);
addEventListener("hashchange", led);
addEventListener("click", (event) => event.target.closest('a[href^="#"]')?.hash === location.hash && led());
if (new URLSearchParams(location.search).has("highlight")) for (const fold of document.querySelectorAll("details.deeper")) fold.open = true;
led();
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details.deeper:not([open])")) fold.open = fold.dataset.printed = true;
});
addEventListener("afterprint", () => {
  for (const fold of document.querySelectorAll("details[data-printed]")) fold.open = delete fold.dataset.printed && false;
});
