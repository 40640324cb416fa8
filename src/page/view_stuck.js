// SPDX-License-Identifier: BSD-3-Clause
// The first screen: is anybody stuck?
import {bulk, freeze, thaw, thawAnd} from "./actions.js";
import {all, get, senderPath} from "./api.js";
import {h} from "./dom.js";
import {ago, count, number, plain, strange, subject} from "./text.js";
import {button, gauge, gaugesOf, hashOf, messageHash, messageKey, nearness,
    reasonField, senderLink, since, state} from "./ui.js";

const CARDS = 10;     // senders that are shown with all there is
const MESSAGES = 5;   // of each
const LOOK = 50;      // messages looked at for addresses and subjects
const STALE_MS = 20000;
const EVENTS_MS = 60000; // what is missed between comes by itself
const SOON_MS = 2000; // where the queue has changed
const SIGNS = ["warn", "blast", "strangers", "credit", "networks",
    "persistent", "spare", "decoy"];

// [text, how often], the most frequent first.
function tally(values) {
    const seen = new Map();

    for (const v of values.filter(Boolean))
        seen.set(v, (seen.get(v) || 0) + 1);
    return [...seen].sort((a, b) => b[1] - a[1]);
}

// Of several relays each tells of its own: a sender is one, with all it has.
function bySender(rows) {
    const senders = new Map();

    for (const s of rows) {
        const was = senders.get(s.sender);

        senders.set(s.sender, was ? {...s.frozen && !was.frozen ? s : was,
            queue_length: was.queue_length + s.queue_length} : s);
    }
    return [...senders.values()];
}

export function stuck(app) {
    let busy = [], more = false, signs = [], problems = [], loaded = false;
    let events = [], eventsAt = 0;
    const details = new Map(); // by sender: {at, sender, messages}
    const reasons = new Map();

    function isFresh(name) {
        const old = details.get(name), now = busy.find((s) =>
            s.sender === name);
        const age = old ? Date.now() - old.at : Infinity;

        if (now && old && old.sender.frozen !== now.frozen)
            return false;
        return age < (now && old && old.sender.queue_length !==
            now.queue_length ? SOON_MS : STALE_MS);
    }

    async function look(name, signal) {
        if (isFresh(name))
            return;
        const [sender, messages] = await Promise.all([
            get(senderPath(name), {}, signal),
            (app.is_net ? get("queue", {sender: name, limit: LOOK}, signal)
                : get("find", {sender: name, max: LOOK}, signal))
                .catch((e) => {
                    if (e.status === 404)
                        return {items: []};
                    throw e;
                }),
        ]);
        details.set(name, {at: Date.now(), sender, messages: messages.items});
    }

    async function refresh(signal) {
        const isOld = Date.now() - eventsAt > EVENTS_MS;
        const [list, past, trouble] = await Promise.all([
            all("senders", {busy: true}, 1000, signal),
            isOld ? get("events", {max: 1000}, signal) : null,
            app.session.domain ? {items: []}
                : get("problems", {max: 50}, signal),
        ]);

        if (past) {
            eventsAt = Date.now();
            events = past.items.filter((e) => SIGNS.includes(e.type));
        }
        busy = bySender(list.items).sort((a, b) => b.frozen - a.frozen ||
            b.queue_length - a.queue_length);
        more = list.more;
        // Of the last day, each sender's latest.
        const seen = new Set(busy.filter((s) => s.frozen)
            .map((s) => s.sender));
        signs = events.filter((e) =>
            Date.now() - new Date(e.at) < 86400e3).reverse()
            .filter((e) => !seen.has(e.sender) && seen.add(e.sender));
        problems = trouble.items.filter((p) => !/^(frozen|waiting)/
            .test(p.kind));
        const wanted = [...busy.map((s) => s.sender),
            ...signs.map((e) => e.sender).filter(Boolean)];
        for (const name of details.keys()) {
            if (!wanted.includes(name))
                details.delete(name);
        }
        await Promise.all([...new Set(wanted)].slice(0, CARDS).map((name) =>
            look(name, signal).catch((e) => {
                if (e.name === "AbortError")
                    throw e;
                details.delete(name); // a scope, or gone meanwhile
            })));
        loaded = true;
    }

    function messageRow(name, m) {
        const first = m.recipients[0] || {address: ""};

        return h("li", {key: messageKey(m)}, h("span", {},
            app.is_net ? strange(m.subject) : h("a", {href:
                messageHash(m)}, subject(m.subject)),
            " → ", strange(first.address, {max: 80}),
            m.recipients.length > 1
                ? ` and ${number(m.recipients.length - 1)} more` : "",
            h("span", {class: "dim"}, ", ", ago(m.queued_at),
                first.expected ? [", expected release ", ago(first.expected)]
                    : first.waits ? [", ", plain(first.waits)] : "")),
            app.can("operate") && h("span", {class: "acts"},
                button("Release", () => bulk(app, "release", {mail: [m]},
                    reasons.get(name)), {label:
                    `Release: ${plain(m.subject, 60)} ${messageKey(m)}`}),
                button("Discard", () => bulk(app, "discard", {mail: [m]},
                    reasons.get(name)), {label:
                    `Discard: ${plain(m.subject, 60)} ${messageKey(m)}`,
                kind: "quiet"})));
    }

    function acts(s) {
        const why = () => reasons.get(s.sender);
        const n = number(s.queue_length);

        if (!app.can("operate"))
            return null;
        return h("div", {class: "acts"},
            reasonField((text) => reasons.set(s.sender, text)),
            s.frozen ? [
                button("Thaw", () => thaw(app, s.sender, why()),
                    {kind: "main", label: `Thaw ${plain(s.sender)}`}),
                s.queue_length > 0 && [
                    button(`Thaw and release ${n}`, () => thawAnd(app,
                        s.sender, "release", why()), {label:
                        `Thaw ${plain(s.sender)} and release ${n}`}),
                    button(`Thaw and discard ${n}`, () => thawAnd(app,
                        s.sender, "discard", why()), {kind: "danger", label:
                        `Thaw ${plain(s.sender)} and discard ${n}`}),
                ],
            ] : button("Freeze", () => freeze(app, s.sender, why()),
                {label: `Freeze ${plain(s.sender)}`}),
            s.queue_length > 0 && [
                button(`Release ${n}`, () => bulk(app, "release",
                    {sender: s.sender}, why()), {label:
                    `Release ${n} of ${plain(s.sender)}`}),
                button(`Discard ${n}`, () => bulk(app, "discard",
                    {sender: s.sender}, why()), {kind: "danger", label:
                    `Discard ${n} of ${plain(s.sender)}`}),
            ]);
    }

    function card(s, sign) {
        const d = details.get(s.sender);
        const all = d ? {...d.sender, ...s} : s;
        const near = !all.frozen && d && nearness(all) >= 0.8;
        const clients = d ? tally(d.messages.map((m) => m.client)) : [];
        const subjects = d ? tally(d.messages.map((m) => m.subject)) : [];

        return h("article", {key: s.sender, class: "card " +
                (all.frozen ? "bad" : near ? "warn" : "")},
        h("h3", {}, senderLink(s.sender), " ", state({...all, near})),
        h("p", {}, since(all)),
        sign && h("p", {}, h("span", {class: "badge warn"}, sign.type), " ",
            strange(sign.detail), " (", ago(sign.at), ")"),
        d && h("div", {class: "gauges"}, gaugesOf(all)
            .filter((g, i) => i === 0 || g.used > 0).map(gauge)),
        clients.length > 0 && h("p", {}, "From ",
            clients.slice(0, 5).map(([c, n], i) => [i ? ", " : "",
                h("code", {}, strange(c)), n > 1
                    ? ` (${count(n, app.words.message)})` : ""]),
            clients.length > 5 ? ` and ${clients.length - 5} more` : "",
            d.messages.length === LOOK && h("span", {class: "dim"},
                `; only the first ${LOOK} were examined`)),
        subjects.length > 0 && !app.is_net && h("p", {}, "Subjects: ",
            subjects.slice(0, 3).map(([t, n], i) => [i ? "; " : "", "“",
                subject(t), "”", n > 1 ? ` (${n})` : ""])),
        acts(all),
        d && d.messages.length > 0 && h("details", {open: all.frozen &&
            busy.filter((b) => b.frozen).length <= 2},
        h("summary", {}, `Waiting: ${count(s.queue_length,
            app.words.recipient)}`),
        h("ul", {class: "messages"}, d.messages.slice(0, MESSAGES)
            .map((m) => messageRow(s.sender, m))),
        d.messages.length > MESSAGES && h("p", {}, h("a", {href:
            hashOf("queue") + "?" + new URLSearchParams(
                {sender: s.sender})}, "Show all"))));
    }

    function draw() {
        const frozen = busy.filter((s) => s.frozen);
        const near = signs.filter((e) => details.has(e.sender) &&
            !busy.some((s) => s.sender === e.sender) &&
            nearness(details.get(e.sender).sender) >= 0.8);
        const rest = busy.filter((s) => !s.frozen);
        const cards = rest.slice(0, Math.max(CARDS - frozen.length, 3));
        const other = signs.filter((e) => !near.includes(e) &&
            !cards.some((s) => s.sender === e.sender));

        if (!loaded)
            return h("p", {}, "Loading …");
        return h("div", {},
            h("p", {class: "headline", role: "status"},
                frozen.length > 0
                    ? `${more ? "At least " : ""}${count(frozen.length,
                        app.words.sender)} frozen, ${count(frozen.reduce(
                          (n, s) => n + s.queue_length, 0),
                      app.words.recipient)} waiting.`
                    : rest.length + near.length > 0
                        ? "Nobody is frozen."
                        : "Nobody is stuck: nothing is frozen or waiting."),
            frozen.length > 0 && h("h2", {}, "Frozen"),
            frozen.slice(0, CARDS).map((s) => card(s)),
            frozen.length > CARDS && h("p", {}, h("a", {href:
                hashOf("senders", "frozen")},
            `${frozen.length - CARDS} more frozen ${app.words.sender}s`)),
            near.length + rest.length > 0 && h("h2", {}, "Near a limit, " +
                "or waiting"),
            near.map((e) => card(details.get(e.sender).sender, e)),
            cards.map((s) => card(s, signs.find((e) =>
                e.sender === s.sender))),
            rest.length > cards.length && h("p", {}, h("a", {href:
                hashOf("senders", "busy")},
            `All ${number(rest.length)} waiting`)),
            other.length > 0 && [h("h2", {}, "Warning signs of the last day"),
                h("ul", {}, other.slice(0, 20).map((e) => h("li", {},
                    h("span", {class: "badge warn"}, e.type), " ",
                    senderLink(e.sender), ": ", strange(e.detail), " ",
                    h("span", {class: "dim"}, ago(e.at)))))],
            problems.length > 0 && [h("h2", {}, "Other problems"),
                problemList(problems)]);
    }

    return {title: "Is anybody stuck?", refresh, draw, every: 5000,
        onEvent(type, row) {
            if (["message", "deliver", "defer"].includes(type))
                return false;
            if (SIGNS.includes(type))
                events.push(row);
            details.delete(row.sender);
            return true;
        },
        alarm: () => busy.filter((s) => s.frozen).length};
}

export function problemList(problems) {
    return h("ul", {class: "problems"}, problems.map((p) => h("li", {},
        h("strong", {}, plain(p.kind)), p.who ? [" ", strange(p.who)] : "",
        p.reason ? [": ", strange(p.reason)] : "",
        p.count > 1 ? ` (${number(p.count)} ${/^(refused|command)/.test(
            p.kind) ? "times" : "waiting"})` : "",
        p.last ? [", ", ago(p.last)] : "",
        p.help ? h("div", {class: "dim"}, strange(p.help)) : "")));
}
