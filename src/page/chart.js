// SPDX-License-Identifier: BSD-3-Clause
// Lines over time as SVG, and the same as a table. Colours come from page.css,
// so that a dark scheme has its own; dashes tell lines apart without colour.
import {h} from "./dom.js";
import {clock, number} from "./text.js";

const W = 640, H = 200, LEFT = 48, BOTTOM = 24, TOP = 8, RIGHT = 8;

function niceTop(max) {
    const unit = 10 ** Math.floor(Math.log10(Math.max(max, 1)));

    return [1, 2, 5, 10].map((n) => n * unit).find((n) => n >= max);
}

function hourLabel(ms, days) {
    const t = new Date(ms);

    return days ? t.toLocaleDateString("en-GB", {weekday: "short",
        day: "numeric"})
        : t.toLocaleTimeString("en-GB", {hour: "2-digit", minute: "2-digit",
            hourCycle: "h23"});
}

// Whole hours, or midnights, of this place.
function ticks(from, to) {
    const days = to - from > 36 * 3600e3, out = [];
    const t = new Date(from);

    t.setMinutes(0, 0, 0);
    if (days)
        t.setHours(0);
    while (t.getTime() <= to) {
        if (t.getTime() >= from && (days || t.getHours() % 4 === 0))
            out.push({at: t.getTime(), text: hourLabel(t, days)});
        if (days)
            t.setDate(t.getDate() + 1);
        else
            t.setHours(t.getHours() + 1);
    }
    return out;
}

// A line for each stretch without a gap (null: nothing is known), and a dot for
// a value that stands alone.
function paths(values, x, y) {
    let d = "", dots = "", is_drawing = false;

    values.forEach((v, i) => {
        if (v === null) {
            is_drawing = false;
            return;
        }
        const at = `${x(i).toFixed(1)} ${y(v).toFixed(1)}`;
        if (!is_drawing && (values[i + 1] ?? null) === null)
            dots += `M${at}h.1`;
        d += `${is_drawing ? "L" : "M"}${at}`;
        is_drawing = true;
    });
    return [d, dots];
}

// lines: [{name, values}], a value for each step_s from start (ms) on.
export function chart(title, {start, step_s, lines}) {
    const n = lines[0].values.length, end = start + n * step_s * 1000;
    const top = niceTop(Math.max(1, ...lines.flatMap((l) => l.values)));
    const x = (i) => LEFT + (W - LEFT - RIGHT) * (i + 0.5) / n;
    const y = (v) => TOP + (H - TOP - BOTTOM) * (1 - v / top);
    const at = (ms) => x((ms - start) / (step_s * 1000) - 0.5);
    const last = lines.map((l) =>
        `${l.name} ${number(l.values.findLast((v) => v !== null) ?? null)}`);

    return h("figure", {class: "chart"},
        h("figcaption", {}, title,
            h("ul", {class: "legend"}, lines.map((l, i) => h("li", {},
                h("svg", {class: `key line${i}`, viewBox: "0 0 24 8",
                    "aria-hidden": "true"}, h("path", {d: "M0 4H24"})),
                l.name)))),
        h("svg", {viewBox: `0 0 ${W} ${H}`, role: "img", class: "plot",
            "aria-label": `${title}. Latest: ${last.join(", ")}. ` +
                "The table below has all values."},
        [0, 0.5, 1].map((f) => top * f).filter(Number.isInteger).map((v) =>
            h("g", {},
                h("path", {class: "grid", d: `M${LEFT} ${y(v)}H${W - RIGHT}`}),
                h("text", {x: LEFT - 6, y: y(v) + 4, "text-anchor": "end"},
                    number(v)))),
        ticks(start, end).map((t) => h("g", {},
            h("path", {class: "grid",
                d: `M${at(t.at).toFixed(1)} ${TOP}V${H - BOTTOM}`}),
            h("text", {x: at(t.at).toFixed(1), y: H - 6,
                "text-anchor": "middle"}, t.text))),
        lines.map((l, i) => {
            const [d, dots] = paths(l.values, x, y);

            return h("g", {}, h("path", {class: `line line${i}`, d}),
                h("path", {class: `dots dots${i}`, d: dots}));
        })),
        table(title, start, step_s, lines));
}

// By hours for a day, by six hours for a week: a table that can be read.
function table(title, start, step_s, lines) {
    const n = lines[0].values.length;
    const by = Math.max(1, Math.round(
        (n * step_s > 36 * 3600 ? 6 : 1) * 3600 / step_s));
    const rows = [];

    for (let i = Math.floor((n - 1) / by) * by; i >= 0; i -= by) {
        const cells = lines.map((l) => {
            const known = l.values.slice(i, i + by)
                .filter((v) => v !== null);

            if (known.length === 0)
                return null;
            return l.gauge ? Math.max(...known)
                : known.reduce((a, b) => a + b, 0);
        });
        if (cells.some((c) => c !== null))
            rows.push([start + i * step_s * 1000, cells]);
    }
    return h("details", {}, h("summary", {}, "As a table"),
        h("div", {class: "scroll", tabindex: "0", role: "region",
            "aria-label": `${title}, as a table`},
        h("table", {}, h("thead", {}, h("tr", {},
            h("th", {scope: "col"}, "From"),
            lines.map((l) => h("th", {scope: "col"},
                l.gauge ? `${l.name} (maximum)` : l.name)))),
        h("tbody", {}, rows.map(([from, cells]) => h("tr", {},
            h("th", {scope: "row"}, clock(from)),
            cells.map((c) => h("td", {class: "n"}, number(c)))))))));
}
