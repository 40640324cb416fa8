// SPDX-License-Identifier: BSD-3-Clause
// What is asked of the daemon. Relative addresses alone: a reverse proxy may
// have put the page below a path.

const API = "api/v1/";

export class Problem extends Error {
    constructor(status, detail) {
        super(detail);
        this.status = status; // 0: no answer
    }
}

let onLost = () => {}, onFound = () => {}, onLogout = () => {};

export function watchConnection(lost, found, logout) {
    onLost = lost;
    onFound = found;
    onLogout = logout;
}

export async function call(method, path, {query, body, signal} = {}) {
    const args = new URLSearchParams();
    let answer, value = null;

    for (const name in query || {}) {
        if (query[name] !== undefined && query[name] !== "" &&
            query[name] !== null)
            args.set(name, query[name]);
    }
    try {
        answer = await fetch(API + path + (args.size ? "?" + args : ""), {
            method, signal, cache: "no-store", redirect: "error",
            headers: body ? {"Content-Type": "application/json"} : {},
            body: body ? JSON.stringify(body) : undefined,
        });
        if (answer.status !== 204)
            value = await answer.json().catch(() => null);
    } catch (e) {
        if (e.name === "AbortError")
            throw e;
        onLost();
        throw new Problem(0, "no answer from the daemon");
    }
    // A reverse proxy whose daemon has gone says so with one of these.
    if (answer.status === 502 || answer.status === 504)
        onLost();
    else
        onFound();
    if (answer.status === 401 && path !== "session")
        onLogout();
    if (!answer.ok) {
        const wait = answer.headers.get("Retry-After");

        throw new Problem(answer.status,
            ((value && (value.detail || value.title)) ||
                `status ${answer.status}`) +
            (wait ? ` (retry in ${wait} s)` : ""));
    }
    return value;
}

export const get = (path, query, signal) => call("GET", path, {query, signal});
export const post = (path, body) => call("POST", path, {body: body || {}});

// "<>", slashes and what else a login may hold.
export const senderPath = (name) => "senders/" + encodeURIComponent(name);

// All pages of a list, to a bound. {items, more: there are others}
export async function all(path, query, max, signal) {
    const items = [];
    let cursor;

    do {
        const page = await get(path, {...query, cursor,
            limit: Math.min(1000, max - items.length)}, signal);

        items.push(...page.items);
        cursor = page.next;
    } while (cursor && items.length < max);
    return {items, more: Boolean(cursor)};
}

// ---- events as they happen ----

// Calls on(type, row) for each event, and reset() when some may have been
// missed. Returns an end().
export function follow(types, on, reset) {
    let source, timer, wait = 1000, has_ended = false, boot = null;

    function open() {
        source = new EventSource(API + "events/stream?type=" +
            types.join(","));
        source.addEventListener("hello", (e) => {
            const hello = JSON.parse(e.data);

            wait = 1000;
            onFound();
            if (boot !== null)
                reset(hello.boot !== boot);
            boot = hello.boot;
        });
        source.addEventListener("reset", () => reset(false));
        for (const type of types) {
            source.addEventListener(type,
                (e) => on(type, JSON.parse(e.data)));
        }
        source.onerror = () => {
            onLost();
            // A browser gives up by itself on an answer that is none.
            if (source.readyState === EventSource.CLOSED && !has_ended) {
                source.close();
                timer = setTimeout(retry, wait);
                wait = Math.min(wait * 2, 15000);
            }
        };
    }

    async function retry() {
        try {
            await get("session");
        } catch (e) {
            if (e.status === 401) {
                onLogout();
                return;
            }
        }
        if (!has_ended)
            open();
    }

    open();
    return () => {
        has_ended = true;
        clearTimeout(timer);
        source.close();
    };
}
