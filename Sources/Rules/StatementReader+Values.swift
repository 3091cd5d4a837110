extension StatementReader {
    /// The value that begins at `column`; nil after reporting what is wrong with it. On return `row` is the value's
    /// last line.
    mutating func readValue(name: String, key: String) -> Statement.Value? {
        if line[column] == "[" { return readList(name: name) }
        if Quotes.closers(of: line[column]) != nil {
            guard let first = readQuoted(name: name, inList: false, orList: !vocabulary.isFreeText(key)) else {
                return nil
            }
            return finishAfterQuoted(first, name: name)
        }
        return bareValue(free: vocabulary.isFreeText(key))
    }

    /// What may follow a quoted text: nothing, a comment, or a comma and further entries of a bare list.
    private mutating func finishAfterQuoted(_ first: Statement.Item, name: String) -> Statement.Value? {
        var items = [first]
        while true {
            skipBlanks()
            if isAtEndOrComment { return items.count == 1 ? .one(first) : .list(items) }
            guard line[column] == "," else {
                reportLeftover(name: name)
                return nil
            }
            column += 1
            skipBlanks()
            if isAtEndOrComment { return .list(items) }
            if Quotes.closers(of: line[column]) != nil {
                guard let item = readQuoted(name: name, inList: true) else { return nil }
                items.append(item)
            } else {
                items.append(bareItem())
            }
        }
    }

    private mutating func reportLeftover(name: String) {
        let rest = Array(line[column...]).trimmedText
        report(
            .syntax, "\(name): \(Self.shown(rest)) follows the end of the value",
            hint: "Put the whole value between one pair of quotation marks, or use none; comments begin with #.")
    }

    /// The rest of the line without its comment. In free text `#` and `;` begin a comment only between blanks.
    private mutating func bareValue(free: Bool) -> Statement.Value {
        let start = column
        var end = column
        while end < line.count {
            let isMark = line[end] == "#" || line[end] == ";"
            if isMark, !free || standsAlone(end) { break }
            end += 1
        }
        let words = Array(line[start..<end])
        guard !free, words.contains(",") else {
            return .one(.init(text: words.trimmedText, quoted: false, line: lineNumber, column: start + 1))
        }
        var items: [Statement.Item] = []
        var offset = start
        for part in words.split(separator: ",", omittingEmptySubsequences: false) {
            items.append(
                .init(text: Array(part).trimmedText, quoted: false, line: lineNumber, column: offset + 1))
            offset += part.count + 1
        }
        if items.last?.text.isEmpty == true { items.removeLast() }
        return .list(items)
    }

    private func standsAlone(_ index: Int) -> Bool {
        let blankBefore = index == 0 || line[index - 1].isBlank
        let blankAfter = index + 1 >= line.count || line[index + 1].isBlank
        return blankBefore && blankAfter
    }

    /// A bare word of a list, up to the next comma, bracket or comment.
    private mutating func bareItem() -> Statement.Item {
        let start = column
        while column < line.count, line[column] != ",", line[column] != "]", !isAtEndOrComment { column += 1 }
        return .init(
            text: Array(line[start..<column]).trimmedText, quoted: false, line: lineNumber, column: start + 1)
    }

    /// `[a, b, ...]`, over as many lines as it takes.
    private mutating func readList(name: String) -> Statement.Value? {
        let openRow = row
        let openColumn = column
        var items: [Statement.Item] = []
        var wantsComma = false
        column += 1
        while true {
            skipBlanks()
            if isAtEndOrComment {
                guard row + 1 < lines.count, !startsStatement(row + 1, afterValue: wantsComma) else {
                    report(
                        line: firstLine + openRow, column: openColumn + 1, .syntax, "\(name): the list is not closed",
                        hint: "End it with ].")
                    return nil
                }
                row += 1
                column = 0
                continue
            }
            switch line[column] {
            case "]":
                column += 1
                skipBlanks()
                guard isAtEndOrComment else {
                    reportLeftover(name: name)
                    return nil
                }
                return .list(items)
            case ",":
                guard wantsComma else {
                    report(.syntax, "\(name): a comma without a value before it", hint: "Delete the comma.")
                    return nil
                }
                wantsComma = false
                column += 1
            case "[":
                report(.syntax, "\(name): a list within a list", hint: "Write one list of plain values.")
                return nil
            default:
                guard !wantsComma else {
                    report(
                        .syntax, "\(name): a comma is missing between two values", hint: "Separate values by commas.")
                    return nil
                }
                if Quotes.closers(of: line[column]) != nil {
                    guard let item = readQuoted(name: name, inList: true) else { return nil }
                    items.append(item)
                } else {
                    items.append(bareItem())
                }
                wantsComma = true
            }
        }
    }

    /// Whether a row begins with a known name and `=`: then whatever was open before it was forgotten. After a value
    /// without a comma any name will do.
    func startsStatement(_ row: Int, afterValue: Bool = false) -> Bool {
        guard let separator = lines[row].firstIndex(where: { Self.isSeparator($0) }) else { return false }
        let name = lines[row][..<separator].trimmedText
        return afterValue || vocabulary.isKnown(Statement.fold(name))
    }
}
