// SPDX-License-Identifier: BSD-3-Clause
// What an administrator changes. What can be undone happens at once and
// offers that; what cannot is counted first by the daemon, and confirmed.
import {all, post, senderPath} from "./api.js";
import {count, plain, size} from "./text.js";

const CHUNK = 100;

// Says of a change that failed why, and has the view ask anew: another
// administrator may have been there first.
async function attempt(app, what, work) {
    try {
        const done = await work();

        for (const note of (done && done.notes) || [])
            app.toast(plain(note, 500));
        for (const e of (done && done.elsewhere) || [])
            app.toast(`${plain(e.relay)}: ${plain(e.error, 300)}`,
                {bad: true});
        return done || {};
    } catch (e) {
        if (e.name === "AbortError")
            return null;
        app.toast(e.status === 404
            ? `${what}: nothing left to do. ${plain(e.message, 300)}`
            : `${what}: ${plain(e.message, 300)}`, {bad: true});
        return null;
    } finally {
        app.refresh();
    }
}

export async function thaw(app, name, reason) {
    const done = await attempt(app, `Thaw ${plain(name)}`,
        () => post(senderPath(name) + "/thaw", reasonOf(reason)));

    if (done)
        app.toast(`Thawed ${plain(name)}. Its queue is released at its usual rate.`,
            {undo: () => freeze(app, name, "undo of a thaw", true)});
}

export async function freeze(app, name, reason, is_undo) {
    const done = await attempt(app, `Freeze ${plain(name)}`,
        () => post(senderPath(name) + "/freeze", reasonOf(reason)));

    if (done)
        app.toast(`Frozen: ${plain(name)}.`, is_undo ? {}
            : {undo: () => thaw(app, name, "undo of a freeze")});
}

const reasonOf = (reason) => reason ? {reason} : {};
// weir-netd takes none for packets.
const queueReason = (app, reason) => app.is_net ? {} : reasonOf(reason);

// Thaws and ends what waits: the count is the sender's.
export async function thawAnd(app, name, then, reason) {
    const found = await dry(app, then, {sender: name});

    if (!found)
        return;
    const ok = await app.confirm({
        title: `Thaw ${plain(name)} and ${then} its queue?`,
        text: words(app, then, found), reason,
        yes: then === "release" ? `Thaw, release ${found.recipients}`
            : `Thaw, discard ${found.recipients}`,
        danger: then === "discard"});
    if (!ok)
        return;
    const done = await attempt(app, `Thaw ${plain(name)}`,
        () => post(senderPath(name) + "/thaw",
            {then, ...reasonOf(ok.reason)}));
    if (done)
        app.toast(done.goes_on
            ? `${plain(name)}: ${did(app, then,
                done.recipients)} so far; the rest and the thaw follow.`
            : `Thawed ${plain(name)}: ${did(app, then,
                done.recipients)}.`);
}

async function dry(app, kind, select) {
    try {
        if (app.is_net) {
            const n = select.mail ? select.mail.length
                : (await all("queue", {sender: select.sender}, 10000))
                    .items.length;

            return {messages: n, recipients: n};
        }
        const sum = {};

        for (const part of select.mail ? byRelay(select.mail) : [select]) {
            const found = await post("queue/" + kind,
                {...part, dry_run: true});

            for (const name of ["messages", "recipients", "bytes"])
                sum[name] = (sum[name] || 0) + (found[name] || 0);
        }
        return sum;
    } catch (e) {
        app.toast(`${kind}: ${plain(e.message, 300)}`, {bad: true});
        app.refresh();
        return null;
    }
}

const VERB = {release: "released", discard: "discarded", flush: "tried now"};

function did(app, kind, n) {
    return `${count(n, app.words.recipient)} ${VERB[kind]}`;
}

function words(app, kind, found) {
    const what = count(found.messages ?? found.recipients, app.words.message) +
        (app.is_net ? "" : ` to ${count(found.recipients, "recipient")}` +
            (found.bytes ? ` (${size(found.bytes)})` : ""));

    return {
        release: `${what} will be released now, regardless of the limit. ` +
            "This cannot be undone.",
        discard: `${what} will be deleted, without a bounce. This cannot ` +
            "be undone.",
        flush: `A delivery attempt is made now for ${what}.`,
    }[kind];
}

// An id is its relay's own, so that each relay is asked for its own mail.
function byRelay(mail) {
    const parts = new Map();

    for (const m of mail) {
        if (!parts.has(m.relay))
            parts.set(m.relay, m.relay ? {ids: [], relay: m.relay}
                : {ids: []});
        parts.get(m.relay).ids.push(m.id);
    }
    return [...parts.values()];
}

// select: {mail: [{id, relay}]} or {sender} or {all: true} with filters. Asks
// with a count.
export async function bulk(app, kind, select, reason) {
    const found = await dry(app, kind, select.mail
        ? {mail: select.mail.slice(0, 1000)} : select);

    if (!found)
        return false;
    if (select.mail && select.mail.length > 1000)
        found.messages = select.mail.length;
    if ((found.messages ?? found.recipients) === 0) {
        app.toast(`Nothing here can be ${VERB[kind]}.`);
        app.refresh();
        return false;
    }
    const n = found.messages ?? found.recipients;
    const ok = await app.confirm({
        title: `${kind[0].toUpperCase()}${kind.slice(1)} ` +
            `${count(n, app.words.message)}?`,
        text: words(app, kind, found), reason,
        yes: `${kind[0].toUpperCase()}${kind.slice(1)} ${n}`,
        hasNoReason: app.is_net,
        danger: kind === "discard"});
    if (!ok)
        return false;
    return select.mail ? chunks(app, kind, select.mail, ok.reason)
        : whole(app, kind, select, ok.reason);
}

async function whole(app, kind, select, reason) {
    app.progress({text: `${kind} …`});
    const done = await attempt(app, kind,
        () => post("queue/" + kind, {...select, ...queueReason(app, reason)}));

    app.progress(null);
    if (done)
        app.toast(done.recipients > 0 ? `${did(app, kind, done.recipients)}${
            done.goes_on ? " so far; the rest follows" : ""}.`
            : `${kind}: nothing left to do.`);
    return Boolean(done);
}

// Some at a time, so that the bar moves and Stop stops.
async function chunks(app, kind, mail, reason) {
    const parts = byRelay(mail).flatMap((part) => Array.from(
        {length: Math.ceil(part.ids.length / CHUNK)}, (_, i) => ({...part,
            ids: part.ids.slice(i * CHUNK, (i + 1) * CHUNK)})));
    let sum = 0, missed = 0, at = 0, is_stopped = false;

    for (const part of parts) {
        app.progress({text: `${kind}: ${at} of ${mail.length}`, value: at,
            max: mail.length, stop: () => { is_stopped = true; }});
        try {
            sum += (await post("queue/" + kind,
                {...part, ...queueReason(app, reason)})).recipients;
        } catch (e) {
            if (e.status !== 404) {
                app.toast(`${kind}: ${plain(e.message, 300)}`, {bad: true});
                break;
            }
            missed += part.ids.length; // gone meanwhile, all of them
        }
        at += part.ids.length;
        if (is_stopped)
            break;
    }
    app.progress(null);
    app.toast(sum === 0 && missed > 0 ? `${kind}: nothing left to do.`
        : `${did(app, kind, sum)}${missed
        ? `; ${count(missed, app.words.message)} already gone` : ""}${
        is_stopped ? "; stopped" : ""}.`);
    app.refresh();
    return true;
}

// What the server cannot select by itself is looked up first.
export async function mailOf(app, query, max = 10000) {
    app.progress({text: "counting …"});
    try {
        const found = await all("queue", query, max);

        if (found.more)
            app.toast(`Only the first ${max} are included.`);
        return found.items;
    } catch (e) {
        app.toast(plain(e.message, 300), {bad: true});
        return [];
    } finally {
        app.progress(null);
    }
}
