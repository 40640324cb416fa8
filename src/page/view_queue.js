// SPDX-License-Identifier: BSD-3-Clause
// The queue, and one message of it.
import {bulk, mailOf} from "./actions.js";
import {get} from "./api.js";
import {h} from "./dom.js";
import {message} from "./mime.js";
import {ago, count, number, plain, size, strange, subject, time}
    from "./text.js";
import {button, choice, csvButton, facts, field, hashOf, messageHash,
    messageKey, missing, reasonField, relayColumn, senderLink, table}
    from "./ui.js";

// By these the daemon itself selects for release and discard.
const SELECTS = ["older", "recipient", "subject", "size_min", "size_max"];
const PAGE = 100; // rows, to begin with
const STATES = ["", "held", "released", "deferred", "frozen", "sending",
    "quarantined"];

export function queue(app, args, params) {
    const filter = Object.fromEntries(params);
    let rows = [], next = null, want = PAGE, timer, last = null;
    let away = [];
    const picked = new Map(); // by messageKey()

    const query = () => ({...filter, limit: Math.min(1000, want)});

    async function refresh(signal) {
        let page = await get("queue", query(), signal), list = page.items;

        while (page.next && list.length < want) {
            page = await get("queue", {...query(), cursor: page.next},
                signal);
            list = list.concat(page.items);
        }
        rows = list;
        next = page.next;
        away = page.elsewhere;
        // What has gone is picked no more; what lies further on may be.
        if (!next) {
            const here = new Set(rows.map(messageKey));
            picked.forEach((m, key) => here.has(key) || picked.delete(key));
        }
    }

    // Only refresh() writes the rows: an answer that is on its way would else
    // take away again what came in between.
    function more() {
        want += PAGE;
        app.refresh();
    }

    function set(name, value) {
        if (value)
            filter[name] = value;
        else
            delete filter[name];
        picked.clear();
        rows = [];
        want = PAGE;
        clearTimeout(timer);
        timer = setTimeout(() => {
            const text = new URLSearchParams(filter).toString();

            history.replaceState(null, "", hashOf("queue") +
                (text ? "?" + text : ""));
            app.refresh();
        }, 300);
    }

    async function act(kind) {
        let done;

        if (picked.size > 0) {
            done = await bulk(app, kind, {mail: [...picked.values()]});
        } else if (Object.keys(filter).every((k) => k === "sender" ||
                   SELECTS.includes(k))) {
            const select = {...filter};
            for (const k of ["size_min", "size_max"]) {
                if (k in select)
                    select[k] = Number(select[k]);
            }
            done = await bulk(app, kind, filter.sender ? select
                : {...select, all: true});
        } else {
            const mail = await mailOf(app, filter);
            done = mail.length > 0 && await bulk(app, kind, {mail});
        }
        if (done) {
            picked.clear();
            app.refresh();
        }
    }

    function put(m, isPicked) {
        isPicked ? picked.set(messageKey(m), m) : picked.delete(messageKey(m));
    }

    function pick(e, m) {
        const keys = rows.map(messageKey), key = messageKey(m);
        const range = e.shiftKey && last && keys.includes(last)
            ? rows.slice(Math.min(keys.indexOf(last), keys.indexOf(key)),
                Math.max(keys.indexOf(last), keys.indexOf(key)) + 1) : [m];

        for (const one of range)
            put(one, e.target.checked);
        last = key;
        app.redraw();
    }

    const columns = () => [
        app.can("operate") && {name: "Select", head: h("input", {
            type: "checkbox", "aria-label": "Select all shown",
            checked: rows.length > 0 && rows.every((m) =>
                picked.has(messageKey(m))),
            onchange: (e) => {
                rows.forEach((m) => put(m, e.target.checked));
                app.redraw();
            }}), cell: (m) => h("input", {type: "checkbox",
            checked: picked.has(messageKey(m)), "aria-label":
                `Select ${messageKey(m)}: ${plain(m.subject, 60)}`,
            onclick: (e) => pick(e, m)})},
        {name: "Since", cell: (m) => time(m.queued_at)},
        {name: app.is_net ? "Host" : "Sender", a: !app.is_net,
            cell: (m) => senderLink(m.sender)},
        {name: app.is_net ? "Protocol" : "Subject", cell: (m) => app.is_net
            ? strange(m.subject)
            : h("a", {href: messageHash(m)}, subject(m.subject))},
        {name: "To", a: true, cell: (m) => [strange(
            (m.recipients[0] || {}).address, {max: 80}),
        m.recipients.length > 1
            ? ` and ${number(m.recipients.length - 1)} more` : ""]},
        {name: "State", k: true, cell: (m) => [...new Set(m.recipients
            .map((r) => r.state))].join(", ")},
        !app.is_net && {name: "Size", n: true, cell: (m) => size(m.size)},
        relayColumn(rows),
    ].filter(Boolean);

    function draw() {
        const text = (label, name, props) => field(label, {value:
            filter[name] || "", oninput: (e) => set(name, e.target.value
                .trim()), ...props});
        const has = Object.keys(filter).length > 0;
        const what = picked.size > 0 ? `${number(picked.size)} selected`
            : has ? "all that match" : "all";

        return h("div", {},
            h("form", {class: "filters", role: "search",
                onsubmit: (e) => e.preventDefault()},
            text(app.is_net ? "Host" : "Sender", "sender"),
            !app.is_net && [
                text("Recipient (* and ?)", "recipient"),
                text("Subject contains", "subject"),
                choice("Older than", filter.older || "", [["", "any age"],
                    ["10m", "10 minutes"], ["1h", "1 hour"],
                    ["1d", "1 day"], ["3d", "3 days"]],
                (e) => set("older", e.target.value)),
                choice("State", filter.state || "", STATES.map((s) =>
                    [s, s || "any state"]),
                (e) => set("state", e.target.value)),
                choice("Larger than", filter.size_min || "", [["",
                    "any size"], ["100000", "100 kB"], ["1000000", "1 MB"],
                ["10000000", "10 MB"]],
                (e) => set("size_min", e.target.value)),
            ]),
            h("div", {class: "acts"},
                app.can("operate") && rows.length > 0 && [
                    button(`Release ${what}`, () => act("release")),
                    button(`Discard ${what}`, () => act("discard"),
                        {kind: "danger"}),
                ],
                csvButton("queue", [["id", (m) => m.id],
                    ["queued at", (m) => m.queued_at],
                    ["sender", (m) => m.sender], ["from", (m) => m.from],
                    ["recipients", (m) => m.recipients.map((r) =>
                        r.address).join(" ")],
                    ["subject", (m) => m.subject], ["size", (m) => m.size],
                    ["client", (m) => m.client],
                    ["relay", (m) => m.relay]], () => rows)),
            missing(away),
            table(`${next ? "First " : ""}${count(rows.length,
                app.words.message)}, oldest first`, columns(), rows,
            {key: messageKey, empty: has ? "No held mail matches."
                : "Nothing is waiting."}),
            next && button("Show more", more));
    }

    return {title: "Queue", refresh, draw, every: 10000,
        onEvent: (type) => ["hold", "release", "discard", "deliver",
            "freeze", "thaw"].includes(type)};
}

export function held(app, [id], params) {
    const named = params.get("relay") || undefined;
    let m = null, gone = "", content = null, raw = false, reason = "";
    let waits = new Map();

    // What is shown is what is read and released, whoever else has the id.
    const relay = () => m && m.relay ? m.relay : named;

    // What each recipient waits for, as "find" says it.
    function goes(r) {
        const w = waits.get(r.address) || {};

        return w.expected ? [time(w.expected), " (", ago(w.expected), ")"]
            : strange(w.waits || "–");
    }

    async function refresh(signal) {
        try {
            m = await get("queue/" + encodeURIComponent(id),
                {relay: relay()}, signal);
            gone = "";
            const found = await get("find", {term: id, max: 1,
                relay: relay()}, signal).catch((e) => {
                if (e.status !== 404)
                    throw e;
                return {items: []}; // gone between the two
            });
            waits = new Map(found.items.flatMap((f) => f.recipients || [])
                .map((r) => [r.address, r]));
        } catch (e) {
            if (e.status !== 404)
                throw e;
            m = null;
            gone = e.message;
        }
    }

    async function read() {
        try {
            content = await get(`queue/${encodeURIComponent(id)}/content`,
                {relay: relay()});
        } catch (e) {
            app.toast(plain(e.message, 300), {bad: true});
        }
        app.redraw();
    }

    const act = (kind) => bulk(app, kind, {mail: [{id,
        relay: relay()}]}, reason);

    function text() {
        if (!content)
            return app.can("operate") ? h("p", {}, button("Read the message",
                read), " ", h("span", {class: "dim"},
                "Reading is recorded in the audit log.")) : null;
        const shown = message(content.content);

        return h("section", {},
            h("h2", {}, "The message"),
            h("p", {}, button(raw ? "Show decoded" : "Show source", () => {
                raw = !raw;
                app.redraw();
            }), " ", h("span", {class: "dim"}, "Shown as text; nothing in " +
                "it is loaded or run.", content.truncated
                ? " Only the beginning is shown." : "")),
            raw ? h("pre", {class: "text", tabindex: "0", role: "region",
                "aria-label": "Source"}, strange(content.content
                .replace(/\r\n/g, "\n"), {max: 200000, lines: true}))
                : [h("dl", {class: "headers"}, shown.fields.map(([n, v]) =>
                    h("div", {}, h("dt", {}, strange(n, {max: 80})),
                        h("dd", {}, subject(v))))),
                shown.parts.map((p, i) => h("div", {class: "part"},
                    h("h3", {}, strange(p.kind, {max: 80}), p.name
                        ? [" ", strange(p.name)] : ""),
                    p.text === null
                        ? h("p", {class: "dim"}, `Not text: ${size(p.size)}.`)
                        : h("pre", {class: "text", tabindex: "0",
                            role: "region", "aria-label": `Part ${i + 1}`},
                        strange(p.text.replace(/\r\n/g, "\n"),
                            {max: 100000, lines: true}))))]);
    }

    function draw() {
        if (gone)
            return h("p", {}, "This message is no longer held: ",
                strange(gone), " ", h("a", {href: hashOf("queue")},
                    "Back to the queue"));
        if (!m)
            return h("p", {}, "Loading …");
        return h("div", {},
            facts([
                ["Subject", subject(m.subject)],
                ["Sender", senderLink(m.sender)],
                ["From", strange(m.from || "<>")],
                ["Client", strange(m.client || "–")],
                ["Held since", [time(m.queued_at), " (", ago(m.queued_at),
                    ")"]],
                ["Size", size(m.size)], ["Policy", strange(m.policy)],
                ["Id", h("code", {}, m.id)],
                m.relay && ["Held by", strange(m.relay)],
                m.message_id && ["Message-ID", strange(m.message_id)],
                m.mta_id && ["Mail server's id", strange(m.mta_id)],
            ]),
            app.can("operate") && h("div", {class: "acts"},
                reasonField((text) => { reason = text; }),
                button("Release", () => act("release"), {kind: "main"}),
                button("Discard", () => act("discard"),
                    {kind: "danger"})),
            table(count(m.recipients.length, "recipient"), [
                {name: "Address", cell: (r) => strange(r.address)},
                {name: "State", k: true, cell: (r) => r.state},
                {name: "Expected release", cell: (r) => goes(r)},
                {name: "Attempts", n: true, cell: (r) =>
                    number(r.attempts || 0)},
                {name: "Next try", cell: (r) => time(r.next_try)},
                {name: "Last error", cell: (r) =>
                    strange(r.last_error || "–")},
            ], m.recipients.slice(0, 200), {key: (r) => r.address}),
            text());
    }

    return {title: `Message ${plain(id, 30)}`, refresh, draw, every: 5000,
        onEvent: (type, row) => row.id === id};
}
