// SPDX-License-Identifier: BSD-3-Clause
// Pieces that several views are made of.
import {h} from "./dom.js";
import {ago, clock, csv, number, plain, save, span, strange} from "./text.js";

export const hashOf = (...parts) =>
    "#/" + parts.map(encodeURIComponent).join("/");

export function senderLink(name) {
    return name ? h("a", {href: hashOf("sender", name)},
        strange(name, {max: 100})) : "–";
}

export function button(text, onclick, {kind, disabled, label, title} = {}) {
    return h("button", {type: "button", class: kind, onclick, title,
        disabled: Boolean(disabled), "aria-label": label}, text);
}

// columns: [{name, cell(row), n: numbers, k: words that are not broken, a:
// addresses}]. The roles are there because a narrow screen lays the rows out as
// blocks, which takes them away.
export function table(caption, columns, rows, {key, empty} = {}) {
    const kind = (c) => c.n ? "n" : c.k ? "k" : c.a ? "a" : "";

    if (rows.length === 0)
        return h("p", {class: "dim"}, empty || "None.");
    return h("table", {class: "list", role: "table"},
        h("caption", {}, caption),
        h("thead", {role: "rowgroup"}, h("tr", {role: "row"},
            columns.map((c) => h("th", {scope: "col", role: "columnheader",
                class: kind(c)}, c.head || c.name)))),
        h("tbody", {role: "rowgroup"}, rows.map((r) => h("tr", {
            role: "row", key: key ? key(r) : undefined},
        columns.map((c) => h("td", {role: "cell", "data-name": c.name,
            class: kind(c)}, c.cell(r)))))));
}

// An id is its relay's own.
export const messageHash = (m) => hashOf("message", m.id) +
    (m.relay ? "?" + new URLSearchParams({relay: m.relay}) : "");
export const messageKey = (m) => m.relay ? `${m.id} ${m.relay}` : m.id;

// Of a site of several relays: which one holds it.
export const relayColumn = (rows) => rows.some((r) => r.relay) &&
    {name: "Relay", cell: (r) => strange(r.relay)};

// Relays whose part of an answer is missing.
export const missing = (list) => (list || []).map((e) => h("p", {},
    h("span", {class: "badge bad"}, "not shown"), " ", strange(e.relay),
    ": ", strange(e.error)));

// columns: [[name, value(row)]]
export function csvButton(name, columns, rows) {
    return button("Save as CSV", () => save(
        `weir-${name}-${new Date().toISOString().slice(0, 10)}.csv`,
        csv(columns.map((c) => c[0]),
            rows().map((r) => columns.map((c) => c[1](r))))));
}

// A gauge that fills up: {name, used, max, window_s, key}.
export function gauge(g) {
    const text = `${number(g.used)} of ${number(g.max)}` +
        (g.window_s ? ` in ${span(g.window_s)}` : "");

    return h("div", {class: "gauge"},
        h("span", {class: "name"}, plain(g.name)),
        h("meter", {min: 0, max: g.max || 1, low: g.left ? g.max * 0.2
            : g.max * 0.8, high: g.max * 0.95, optimum: g.left ? g.max : 0,
        value: Math.min(g.used, g.max || 1),
        "aria-label": `${plain(g.name)}: ${text}`}),
        h("span", {class: "of"}, text));
}

// What weirctl says in words: "33 of 100 in 1d".
const UNITS = {s: 1, m: 60, h: 3600, d: 86400, w: 604800};

function inWords(text, name) {
    const m = /^(?:(.*): )?(\d+) of (\d+)(?: in (.+))?$/.exec(text);

    if (!m)
        return null;
    const window = [...(m[4] || "").matchAll(/(\d+)\s*([smhdw])/g)]
        .reduce((sum, part) => sum + part[1] * UNITS[part[2]], 0);
    return {name: m[1] || name, used: Number(m[2]), max: Number(m[3]),
        window_s: window};
}

function limitOf(value, name) {
    if (typeof value === "string")
        return inWords(value, name);
    if (value && typeof value === "object")
        return {name: value.name
            ? `${value.name}${value.key ? ` (${value.key})` : ""}` : name,
        used: value.used, max: value.max, window_s: value.window_s};
    return null;
}

// The tiers, limits and scopes of a sender (senders/NAME).
export function gaugesOf(s) {
    const pair = (name, used, max) => s[max] > 0 && s[used] !== null
        ? {name, used: s[used], max: s[max]} : null;

    return [
        pair("Waiting", "queue_length", "freeze_at"),
        pair("Waiting, familiar recipients", "familiar_waiting",
            "familiar_freeze_at"),
        limitOf(s.stranger_messages, "Messages to strangers"),
        ...(s.limits || []).map((l) => limitOf(l, "New recipients")),
        ...(s.scopes || []).map((l) => limitOf(l, "Scope")),
        pair("New client networks", "client_networks",
            "client_networks_max"),
    ].filter((g) => g && g.max > 0);
}

export function leftOf(s) {
    const left = (name, used, max) => s[max] > 0 && s[used] !== null &&
        s[used] !== undefined
        ? {name, used: s[used], max: s[max], left: true} : null;

    return [
        left("Allowance, new recipients", "allowance", "burst"),
        left("Allowance, familiar recipients", "familiar_allowance",
            "familiar_burst"),
        left("Credit for unknown recipients", "credit", "credit_max"),
    ].filter(Boolean);
}

// 0 to 1 and above: how near the nearest limit is.
export function nearness(s) {
    return Math.max(0, ...gaugesOf(s).map((g) => g.used / g.max));
}

export function state(s) {
    if (s.frozen)
        return h("span", {class: "badge bad"}, "frozen");
    if (s.near)
        return h("span", {class: "badge warn"}, "near a limit");
    return s.queue_length > 0 ? h("span", {class: "badge"}, "waiting") : "";
}

export function since(s) {
    if (!s.frozen)
        return s.next_release
            ? ["next release ", ago(s.next_release)] : "";
    return ["frozen since ", clock(s.frozen_at), " (", ago(s.frozen_at),
        ")", s.freeze_reason ? `: ${s.freeze_reason}` : "",
        s.freeze_note ? [", “", strange(s.freeze_note), "”"] : "",
        s.thaw_at ? [", thaws ", ago(s.thaw_at)] : ""];
}

export function reasonField(oninput) {
    return h("label", {class: "reason"}, h("span", {}, "Reason (optional)"),
        h("input", {type: "text", maxlength: 200, autocomplete: "off",
            oninput: (e) => oninput(e.target.value)}));
}

export function facts(list) {
    return h("dl", {class: "facts"}, list.filter(Boolean).map(([name, v]) =>
        h("div", {}, h("dt", {}, name), h("dd", {}, v))));
}

export function field(label, props) {
    return h("label", {}, h("span", {}, label), h("input", {type: "text",
        autocomplete: "off", spellcheck: "false", ...props}));
}

export function choice(label, value, options, onchange) {
    return h("label", {}, h("span", {}, label), h("select", {onchange},
        options.map(([v, text]) => h("option", {value: v,
            selected: v === value}, text))));
}
