#include "style.hpp"

namespace fedmpi {

// Colours of lines: Okabe and Ito's, which people with any kind of colour vision tell apart; on dark, lighter ones.
const char* const report_style = R"css(
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --edge: #e2e5ea; --text: #1b1f24; --soft: #5b6470; --grid: #e6e9ee;
  --accent: #0072b2; --note: #fff4df; --note-edge: #e6c88a; --tint: 0 114 178; --rest: #b9c0c9;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #cc79a7; --c4: #3a3f47; --c5: #e69f00; --c6: #56b4e9;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #101317; --card: #181c22; --edge: #2a3038; --text: #e8eaed; --soft: #9aa4b0; --grid: #272d35;
    --accent: #56b4e9; --note: #2b2415; --note-edge: #6b5727; --tint: 86 180 233; --rest: #59626e;
    --c0: #56b4e9; --c1: #e8702a; --c2: #1fb88a; --c3: #e6a0cb; --c4: #d5d8dc; --c5: #f2d14e; --c6: #7c86e8;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 40px 24px 64px; max-width: 1200px; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  overflow-wrap: anywhere;
}
h1 { margin: 0; font-size: 32px; line-height: 1.2; letter-spacing: -0.01em; }
h2 { margin: 48px 0 16px; font-size: 20px; line-height: 1.3; }
h3 { margin: 0; font-size: 15px; line-height: 1.4; }
p { margin: 0; }
.eyebrow { color: var(--accent); font-size: 13px; font-weight: 600; margin-bottom: 8px; }
.path, .about, figcaption p, .card > p { color: var(--soft); }
.path { margin-top: 4px; }
.about { margin: -8px 0 16px; }
figcaption p, .card > p { font-size: 13px; }
.facts { display: flex; flex-wrap: wrap; gap: 8px 24px; margin-top: 20px; font-size: 14px; }
.facts > span > span { color: var(--soft); margin-right: 8px; }
.facts b { font-weight: 600; font-variant-numeric: tabular-nums; }
.note {
  margin-top: 16px; padding: 8px 14px; border: 1px solid var(--note-edge); border-radius: 8px; background: var(--note);
  font-size: 14px;
}
.card {
  display: flex; flex-direction: column; margin: 0; padding: 20px; min-width: 0; border: 1px solid var(--edge); border-radius: 12px; background: var(--card);
}
.card + .card, .grid + .card, .card + .grid { margin-top: 16px; }
.grid .card, .numbers .card { margin-top: 0; }
.grid { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 16px; }
.grid > .card:last-child:nth-child(odd) { grid-column: 1 / -1; }
.grid > .card > .plane { margin-top: auto; padding-top: 16px; }
.numbers {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 16px; margin: 32px 0 0;
}
.numbers .card { padding: 16px 20px; text-align: left; }
.numbers dt { color: var(--soft); font-size: 13px; }
.numbers dd { margin: 0; }
.numbers b { display: block; font-size: 24px; line-height: 1.3; font-weight: 600; font-variant-numeric: tabular-nums; }
.numbers dd span { color: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }

.legend {
  display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 12px 0 0; padding: 0; list-style: none; font-size: 13px;
}
.legend li { display: flex; align-items: center; gap: 8px; min-width: 0; }
.legend svg { flex: none; width: 22px; height: 10px; }
.legend .fill-key { width: 10px; }
.legend b { font-weight: 600; font-variant-numeric: tabular-nums; }

.plane {
  display: grid; grid-template-columns: calc(var(--w) + 8px) minmax(0, 1fr); grid-template-rows: auto 230px 20px auto;
  margin-top: 16px; padding-right: 14px; font-size: 12px; color: var(--soft); font-variant-numeric: tabular-nums;
}
.plane svg { grid-area: 2 / 2; width: 100%; height: 100%; overflow: visible; border-bottom: 1px solid var(--rest); }
.y-name { grid-area: 1 / 1 / 2 / 3; margin-bottom: 10px; }
.y-ticks { grid-area: 2 / 1; position: relative; }
.y-ticks span { position: absolute; right: 8px; transform: translateY(50%); line-height: 1; white-space: nowrap; }
.x-ticks { grid-area: 3 / 2; position: relative; }
.x-ticks span { position: absolute; top: 6px; transform: translateX(-50%); line-height: 1; white-space: nowrap; }
.x-name { grid-area: 4 / 2; text-align: right; }
.low { grid-template-rows: auto 120px 0 auto; }
.map { grid-template-rows: auto 190px 20px auto; }
.map svg { border: 0; }

.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); }
.c4 { --c: var(--c4); } .c5 { --c: var(--c5); } .c6 { --c: var(--c6); }
.grid-lines { fill: none; stroke: var(--grid); stroke-width: 1; vector-effect: non-scaling-stroke; }
.line {
  fill: none; stroke: var(--c); stroke-width: 2.25; stroke-linejoin: round; stroke-linecap: round;
  vector-effect: non-scaling-stroke;
}
.dash1 { stroke-dasharray: 7 5; } .dash2 { stroke-dasharray: 1 5; } .dash3 { stroke-dasharray: 10 5 1 5; }
.dot {
  fill: none; stroke: var(--c); stroke-width: 6; stroke-linecap: round; vector-effect: non-scaling-stroke;
}
.dot:hover { stroke-width: 12; }
.band { fill: var(--c); fill-opacity: 0.14; }
.fill { fill: var(--c); }
.rest { --c: var(--rest); }
.hint { fill: var(--text); fill-opacity: 0; }
.hint:hover { fill-opacity: 0.06; }
.shade { fill: var(--c0); fill-opacity: var(--o); }
.shade0 { --o: 0.12; } .shade1 { --o: 0.24; } .shade2 { --o: 0.36; } .shade3 { --o: 0.48; } .shade4 { --o: 0.61; }
.shade5 { --o: 0.74; } .shade6 { --o: 0.87; } .shade7 { --o: 1; }
.shades { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 8px; margin-top: 8px; }
.shades b { font-weight: 400; }
.shades svg { width: 96px; height: 12px; }

.bars {
  display: grid; grid-template-columns: minmax(0, max-content) minmax(80px, 1fr) max-content; gap: 10px 16px;
  align-items: center; margin-top: 16px; font-size: 13px;
}
.bars svg { width: 100%; height: 20px; }
.bars b { font-weight: 600; text-align: right; font-variant-numeric: tabular-nums; }

.scroll { margin-top: 12px; overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: 6px 10px 6px 0; text-align: left; vertical-align: baseline; white-space: nowrap; font-weight: 400; }
th:last-child, td:last-child { padding-right: 0; }
thead th { white-space: normal; border-bottom: 1px solid var(--rest); color: var(--soft); font-size: 12px; vertical-align: bottom; }
tbody tr + tr > * { border-top: 1px solid var(--edge); }
tbody th { position: sticky; left: 0; background: var(--card); }
th.number, td.number { text-align: right; }
.matrix th, .matrix td { padding: 5px 10px; text-align: right; }
.matrix tbody td { background: rgb(var(--tint) / calc(0.6 * var(--o, 0))); }
.means td { white-space: normal; }
.runs tbody th { min-width: 12em; white-space: normal; overflow-wrap: anywhere; }
.best { color: var(--accent); font-weight: 600; }
.number + .word { padding-left: 14px; }

details.run { margin-top: 12px; padding: 0 20px; border: 1px solid var(--edge); border-radius: 12px; }
details.run[open] { padding-bottom: 20px; }
details.run > summary { padding: 12px 0; }
details.run > .facts { margin: 0 0 16px; }
details.run > .note { margin-bottom: 16px; }
summary { cursor: pointer; font-size: 14px; }
.card > details { margin-top: 16px; }
.card summary { color: var(--accent); }
summary b { margin-right: 12px; font-weight: 600; }
summary span { color: var(--soft); }
pre { margin: 12px 0 0; overflow-x: auto; overflow-wrap: normal; font-size: 13px; line-height: 1.5; }
pre, code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.digest { margin: 16px 0; color: var(--soft); font-size: 13px; }
.digest code { color: var(--text); }
footer { margin-top: 48px; color: var(--soft); font-size: 13px; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 4px; }

@media (max-width: 760px) {
  body { padding: 24px 16px 48px; }
  h1 { font-size: 26px; }
  h2 { margin-top: 36px; }
  .grid { grid-template-columns: minmax(0, 1fr); }
  .numbers { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 12px; margin-top: 24px; }
  .numbers .card { padding: 12px 14px; }
  .numbers b { font-size: 20px; }
  .card { padding: 16px; }
  .plane { grid-template-rows: auto 200px 20px auto; }
  .low { grid-template-rows: auto 100px 0 auto; }
  .map { grid-template-rows: auto 170px 20px auto; }
  .bars { grid-template-columns: minmax(0, 1fr) max-content; gap: 4px 12px; }
  .bars span { grid-column: 1 / 3; margin-top: 8px; }
  details.run { padding: 0 12px; }
}
@media print {
  body { max-width: none; padding: 0; background: none; }
  .card { break-inside: avoid; }
}
)css";

}  // namespace fedmpi
