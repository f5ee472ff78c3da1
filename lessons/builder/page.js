// Sets the maths. Without KaTeX (no copy, no network) the TeX stays where it is.
if (window.katex) {
  for (const element of document.querySelectorAll(".math")) {
    const displayMode = element.classList.contains("block");
    katex.render(element.textContent, element, { displayMode, throwOnError: false });
  }
}

// A formula a little wider than its column is set smaller. What is still too wide
// scrolls in a box of its own, which the keyboard can reach.
function box() {
  for (const formula of document.querySelectorAll(".math.block")) {
    formula.style.fontSize = "";
    const fits = formula.clientWidth / formula.scrollWidth;
    if (fits > 0.78 && fits < 1) formula.style.fontSize = `${fits - 0.01}em`;
  }
  for (const formula of document.querySelectorAll(".math:not(.block)")) {
    formula.classList.remove("wide");
    const column = formula.closest("p, li, td, blockquote") ?? formula.parentElement;
    const room = column.getBoundingClientRect().width + 1;
    formula.classList.toggle("wide", formula.getBoundingClientRect().width > room);
  }
  for (const element of document.querySelectorAll("pre, .math.block, .math.wide, .table")) {
    if (element.scrollWidth > element.clientWidth) element.tabIndex = 0;
    else element.removeAttribute("tabindex");
  }
}

// Code, its output and its picture go along with a longer derivation, if they fit.
function follow() {
  for (const work of document.querySelectorAll(".work")) {
    work.classList.toggle("follows", work.offsetHeight < window.innerHeight - 48);
  }
}

for (const event of ["load", "resize"]) {
  window.addEventListener(event, () => { box(); follow(); });
}

// The maths has moved what the address points at.
document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
