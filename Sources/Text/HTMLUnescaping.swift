/// HTML's named character references. Source: WHATWG HTML; CPython Lib/html/__init__.py for the exact rules.
enum HTMLEntities {
    struct Entry: Sendable {
        let text: [Unicode.Scalar]
        /// Recognised without its semicolon too.
        let isBare: Bool
    }

    static let longestName = 32

    static let table: [String: Entry] = {
        var table: [String: Entry] = [:]
        table.reserveCapacity(2300)
        for item in words(of: htmlEntityTable) {
            guard let mark = item.firstIndex(where: { $0 == ":" || $0 == "!" }) else { continue }
            table[String(item[..<mark])] = Entry(
                text: scalars(item[item.index(after: mark)...]), isBare: item[mark] == "!")
        }
        return table
    }()

    /// The meaning of `name` as it stands between `&` and the end, with or without its semicolon.
    static func lookUp(_ name: some Sequence<Unicode.Scalar>) -> [Unicode.Scalar]? {
        var key = String(String.UnicodeScalarView(name))
        if key.hasSuffix(";") {
            key.removeLast()
            return table[key]?.text
        }
        guard let entry = table[key], entry.isBare else { return nil }
        return entry.text
    }
}

/// The words of a table that stands in one literal.
func words(of table: StaticString) -> [Substring] {
    table.withUTF8Buffer { String(decoding: $0, as: UTF8.self) }.split(separator: " ")
}

/// Scalars from hexadecimal numbers joined by dots.
func scalars(_ numbers: Substring) -> [Unicode.Scalar] {
    numbers.split(separator: ".").compactMap { UInt32($0, radix: 16).flatMap(Unicode.Scalar.init) }
}

/// Replaces character references as browsers do: numeric ones by their rules, named ones with and, where HTML allows
/// it, without a semicolon, also as the start of a longer word.
///
/// Source: CPython Lib/html/__init__.py `unescape`.
func unescapeHTML(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
    guard text.contains("&") else { return text }
    var output: [Unicode.Scalar] = []
    output.reserveCapacity(text.count)
    var i = 0
    while i < text.count {
        guard text[i] == "&" else {
            output.append(text[i])
            i += 1
            continue
        }
        if let (value, end) = numericReference(text, after: i + 1) {
            output += value
            i = end
        } else {
            let end = nameEnd(text, from: i + 1)
            if end > i + 1, let (value, used) = namedReference(text[(i + 1)..<end]) {
                output += value
                i += 1 + used
            } else {
                output.append("&")
                i += 1
            }
        }
    }
    return output
}

/// The end of up to 32 characters that may belong to a name, and a semicolon.
private func nameEnd(_ text: [Unicode.Scalar], from start: Int) -> Int {
    var end = start
    while end < text.count, end - start < HTMLEntities.longestName {
        switch text[end] {
        case "\t", "\n", "\u{0C}", " ", "<", "&", "#", ";": return text[end] == ";" && end > start ? end + 1 : end
        default: end += 1
        }
    }
    return end < text.count && text[end] == ";" ? end + 1 : end
}

/// The longest name that `word` starts with, and how much of it that takes.
private func namedReference(_ word: ArraySlice<Unicode.Scalar>) -> (value: [Unicode.Scalar], used: Int)? {
    if let value = HTMLEntities.lookUp(word) { return (value, word.count) }
    var length = word.count - 1
    while length > 1 {
        if let value = HTMLEntities.lookUp(word.prefix(length)) { return (value, length) }
        length -= 1
    }
    return nil
}

/// `#123;` or `#x1F;` after the ampersand; the semicolon may be missing.
private func numericReference(_ text: [Unicode.Scalar], after start: Int) -> (value: [Unicode.Scalar], end: Int)? {
    guard start < text.count, text[start] == "#" else { return nil }
    var i = start + 1
    let isHexadecimal = i < text.count && (text[i] == "x" || text[i] == "X")
    if isHexadecimal { i += 1 }
    let digitsStart = i
    var number: UInt32 = 0
    while i < text.count, let digit = digit(text[i], hexadecimal: isHexadecimal) {
        // Anything beyond Unicode means the same.
        number = min(number * (isHexadecimal ? 16 : 10) + digit, 0x11_0000)
        i += 1
    }
    guard i > digitsStart else { return nil }
    if i < text.count, text[i] == ";" { i += 1 }
    return (character(number), i)
}

private func digit(_ scalar: Unicode.Scalar, hexadecimal: Bool) -> UInt32? {
    switch scalar {
    case "0"..."9": scalar.value - 0x30
    case "a"..."f" where hexadecimal: scalar.value - 0x61 + 10
    case "A"..."F" where hexadecimal: scalar.value - 0x41 + 10
    default: nil
    }
}

/// What a numeric reference stands for; nothing where it names a character that has no use in text.
private func character(_ number: UInt32) -> [Unicode.Scalar] {
    switch number {
    case 0: return ["\u{FFFD}"]
    case 0x0D: return ["\r"]
    case 0x80...0x9F: return [SingleByteEncoding.windows1252.scalar(UInt8(number))]
    case 0x1...0x8, 0xB, 0xE...0x1F, 0x7F, 0xFDD0...0xFDEF: return []
    default:
        guard let scalar = Unicode.Scalar(number) else { return ["\u{FFFD}"] }
        return number & 0xFFFE == 0xFFFE ? [] : [scalar]
    }
}

/// Replaces only complete references, `&` to `;`, and those shouted in capitals as well (`&NTILDE;`).
///
/// Source: ftfy fixes.py `unescape_html`.
func unescapeCompleteHTML(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
    guard text.contains("&") else { return text }
    var output: [Unicode.Scalar] = []
    output.reserveCapacity(text.count)
    var i = 0
    while i < text.count {
        guard text[i] == "&", let end = completeReferenceEnd(text, from: i) else {
            output.append(text[i])
            i += 1
            continue
        }
        output += meaning(Array(text[i..<end]))
        i = end
    }
    return output
}

/// Behind `&`, perhaps `#`, 1 to 24 ASCII letters and digits, and `;`.
private func completeReferenceEnd(_ text: [Unicode.Scalar], from start: Int) -> Int? {
    var i = start + 1
    if i < text.count, text[i] == "#" { i += 1 }
    let first = i
    while i < text.count, i - first < 24, text[i].isASCIIAlphanumeric { i += 1 }
    return i > first && i < text.count && text[i] == ";" ? i + 1 : nil
}

private func meaning(_ reference: [Unicode.Scalar]) -> [Unicode.Scalar] {
    if reference[1] == "#" {
        let value = unescapeHTML(reference)
        return value.contains(";") ? reference : value
    }
    let name = String(String.UnicodeScalarView(reference[1..<(reference.count - 1)]))
    if let entry = HTMLEntities.table[name] { return entry.text }
    let small = name.lowercased()
    guard small.uppercased() == name, let entry = HTMLEntities.table[small], unescapeHTML(reference) == reference else {
        return reference
    }
    return Array(String(String.UnicodeScalarView(entry.text)).uppercased().unicodeScalars)
}

extension Unicode.Scalar {
    var isASCIILetter: Bool { ("a"..."z").contains(self) || ("A"..."Z").contains(self) }
    var isASCIIAlphanumeric: Bool { isASCIILetter || ("0"..."9").contains(self) }
}
