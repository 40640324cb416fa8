// SPDX-License-Identifier: BSD-3-Clause
// A held message for reading: its header fields, and the text of its parts.
// HTML is shown as its source. Everything here is bounded.
import {decodeWords, fromBase64, fromQuoted} from "./text.js";

const DEPTH_MAX = 5, PARTS_MAX = 50, FIELDS_MAX = 500;

function split(text) {
    const gap = /\r?\n\r?\n/.exec(text);

    return gap ? [text.slice(0, gap.index),
        text.slice(gap.index + gap[0].length)] : [text, ""];
}

export function fields(head) {
    return head.replace(/\r?\n[ \t]+/g, " ").split(/\r?\n/)
        .slice(0, FIELDS_MAX).filter((line) => line !== "").map((line) => {
            const colon = line.indexOf(":");

            return colon < 1 ? ["", line]
                : [line.slice(0, colon), line.slice(colon + 1).trim()];
        });
}

function find(list, name) {
    const field = list.find((f) => f[0].toLowerCase() === name);

    return field ? field[1] : "";
}

function parameter(value, name) {
    const m = new RegExp(`;\\s*${name}\\s*=\\s*(?:"([^"]*)"|([^;\\s]+))`, "i")
        .exec(value);

    return m ? m[1] ?? m[2] : "";
}

// The content came as UTF-8 already; only what a transfer encoding hides is
// still in the part's own charset.
function decode(body, encoding, charset) {
    try {
        const bytes = encoding === "base64" ? fromBase64(body)
            : encoding === "quoted-printable" ? fromQuoted(body) : null;

        return bytes ? new TextDecoder(charset || "utf-8").decode(bytes)
            : body;
    } catch {
        return body;
    }
}

function walk(text, depth, out) {
    const [head, body] = split(text);
    const list = fields(head);
    const type = find(list, "content-type") || "text/plain";
    const name = parameter(type, "name") ||
        parameter(find(list, "content-disposition"), "filename");
    const kind = type.split(";")[0].trim().toLowerCase();
    const boundary = parameter(type, "boundary");

    if (kind.startsWith("multipart/") && boundary && depth < DEPTH_MAX) {
        const pieces = ("\n" + body).split("\n--" + boundary);

        for (const piece of pieces.slice(1)) {
            if (piece.startsWith("--") || out.length >= PARTS_MAX)
                break;
            walk(piece.replace(/^[^\n]*\n/, ""), depth + 1, out);
        }
        return;
    }
    out.push({kind, name: decodeWords(name),
        text: kind.startsWith("text/") || kind === "message/rfc822"
            ? decode(body, find(list, "content-transfer-encoding")
                .trim().toLowerCase(), parameter(type, "charset"))
            : null,
        size: body.length});
}

// {fields: [[name, value]], parts: [{kind, name, text (null: no text), size}]}
export function message(content) {
    const parts = [];

    walk(content, 0, parts);
    return {fields: fields(split(content)[0]), parts};
}
