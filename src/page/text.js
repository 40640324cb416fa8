// SPDX-License-Identifier: BSD-3-Clause
// Words, numbers and times as they are shown. Senders, subjects and names of
// clients are written by strangers: what would be invisible, or turn the text
// around it, is shown as its number.
import {h} from "./dom.js";

// Controls, formats (bidi among them), lone surrogates, line and paragraph
// separators, and blanks that look like nothing. Without a blank or newline.
const HIDDEN =
    /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}\u115f\u1160\u2800\u3164\uffa0]/gu;
const MARKS = /(\p{M}{4})\p{M}+/gu; // heaps of accents that cover other lines

function code(c) {
    return "U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
}

// As plain text: for titles, labels and the text of messages to the user.
export function plain(s, max = 200) {
    const t = String(s ?? "").replace(MARKS, "$1")
        .replace(HIDDEN, (c) => `[${code(c)}]`);

    return t.length > max ? t.slice(0, max) + "…" : t;
}

export function sentence(s) {
    return s[0].toUpperCase() + s.slice(1);
}

// As a node. lines: newline and tab are text (a message's), not marked.
export function strange(s, {max = 1000, lines = false} = {}) {
    const text = String(s ?? "").replace(MARKS, "$1"), out = [];
    let from = 0;

    for (const m of text.slice(0, max).matchAll(HIDDEN)) {
        if (lines && /[\n\t]/.test(m[0]))
            continue;
        out.push(text.slice(from, m.index), h("span", {class: "hidden",
            title: "an invisible or control character"}, code(m[0])));
        from = m.index + m[0].length;
    }
    out.push(text.slice(from, max), text.length > max ? " …" : "");
    return h("bdi", {}, out);
}

// "=?utf-8?B?...?=" (RFC 2047); what cannot be decoded stays as it is.
export function decodeWords(s) {
    return String(s ?? "").replace(/\?=\s+=\?/g, "?==?").replace(
        /=\?([^?\s]{1,40})\?([bq])\?([^?\s]*)\?=/gi, (all, set, how, data) => {
            try {
                const bytes = /b/i.test(how) ? fromBase64(data)
                    : fromQuoted(data.replace(/_/g, "=20"));
                return new TextDecoder(set.replace(/\*.*/, "")).decode(bytes);
            } catch {
                return all;
            }
        });
}

export function fromBase64(s) {
    const raw = atob(s.replace(/[^A-Za-z0-9+/]/g, ""));

    return Uint8Array.from(raw, (c) => c.charCodeAt(0));
}

// s: a character for each byte.
export function fromQuoted(s) {
    // By lines: an expression that looks for blanks before an end of line
    // takes for ever where there are many and no end.
    const raw = s.split("\n").map((line) => line.trimEnd()).join("\n")
        .replace(/=\n/g, "")
        .replace(/=([0-9a-f]{2})/gi,
            (all, x) => String.fromCharCode(parseInt(x, 16)));

    return Uint8Array.from(raw, (c) => c.charCodeAt(0) & 0xff);
}

export function subject(s) {
    return s ? strange(decodeWords(s), {max: 300})
        : h("span", {class: "dim"}, "(no subject)");
}

// ---- numbers and times ----

export function count(n, one, many) {
    return `${number(n)} ${n === 1 ? one : many || one + "s"}`;
}

export function number(n) {
    return n === null || n === undefined ? "–"
        : Number(n).toLocaleString("en-GB");
}

export function size(n) {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let i = 0;

    for (n = Number(n); n >= 1000 && i < units.length - 1; i++)
        n /= 1000;
    return `${i === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[i]}`;
}

export function span(s) {
    s = Math.max(0, Math.round(s));
    if (s < 60)
        return `${s} s`;
    if (s < 3600)
        return `${Math.floor(s / 60)} min`;
    if (s < 86400) {
        const min = Math.floor(s / 60) % 60;
        return `${Math.floor(s / 3600)} h${min ? ` ${min} min` : ""}`;
    }
    const hours = Math.floor(s / 3600) % 24;

    return `${Math.floor(s / 86400)} d${hours ? ` ${hours} h` : ""}`;
}

const SHOWN = new Intl.DateTimeFormat("en-GB", {day: "numeric", month: "short",
    year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
    hourCycle: "h23", timeZoneName: "short"});
const CLOCK = new Intl.DateTimeFormat("en-GB", {hour: "2-digit",
    minute: "2-digit", second: "2-digit", hourCycle: "h23",
    timeZoneName: "short"});

export function clock(at) {
    const t = new Date(at);

    return t.toDateString() === new Date().toDateString() ? CLOCK.format(t)
        : SHOWN.format(t);
}

// null: not yet, never.
export function time(at, none = "–") {
    if (!at)
        return none;
    return h("time", {datetime: at, title: SHOWN.format(new Date(at))},
        clock(at));
}

export function ago(at, none = "–") {
    if (!at)
        return none;
    const s = (Date.now() - new Date(at)) / 1000;

    return h("time", {datetime: at, title: SHOWN.format(new Date(at))},
        s < 0 ? `in ${span(-s)}` : `${span(s)} ago`);
}

// ---- files for a spreadsheet ----

// A cell that begins like a formula is text to a spreadsheet as well.
export function csvCell(v) {
    let s = String(v ?? "");

    if (/^[\s\p{Cc}\p{Cf}]*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]/u
        .test(s) && !/^-?\d+(\.\d+)?$/.test(s))
        s = "'" + s;
    return `"${s.replace(/"/g, '""')}"`;
}

export function csv(head, rows) {
    return "\ufeff" + [head, ...rows].map((r) => r.map(csvCell).join(","))
        .join("\r\n") + "\r\n";
}

export function save(name, text, type = "text/csv") {
    const url = URL.createObjectURL(new Blob([text],
        {type: type + ";charset=utf-8"}));
    const a = document.createElement("a");

    a.href = url;
    a.download = name;
    document.body.append(a);
    a.click();
    a.remove();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
}
