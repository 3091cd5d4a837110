extension PickleInterpreter {
    /// Executes one opcode but STOP.
    mutating func step(_ opcode: UInt8) throws(Failure) {
        switch Unicode.Scalar(opcode) {
        case "\u{80}":  // PROTO
            let version = try byte()
            guard version <= 5 else { throw fail("pickle protocol \(version)", code: .unsupported) }
        case "\u{95}": _ = try integer(UInt64.self)  // FRAME
        case "(": marks.append(stack.count)
        case "0": if marks.last == stack.count { marks.removeLast() } else { _ = try pop() }  // POP
        case "1": _ = try popMark()
        case "2": stack.append(try top())  // DUP
        case "N": stack.append(.none)
        case "\u{88}": stack.append(.bool(true))
        case "\u{89}": stack.append(.bool(false))
        case "K": stack.append(.int(Int(try byte())))
        case "M": stack.append(.int(Int(try integer(UInt16.self))))
        case "J": stack.append(.int(Int(try integer(Int32.self))))
        case "\u{8A}": stack.append(.int(try long()))
        case "G": stack.append(.float(Double(bitPattern: try integer(UInt64.self).byteSwapped)))
        case "X": stack.append(.string(try string(UInt64(try integer(UInt32.self)))))
        case "\u{8C}", "U": stack.append(.string(try string(UInt64(try byte()))))
        case "\u{8D}": stack.append(.string(try string(try integer(UInt64.self))))
        case "T", "B": try pushBytes(UInt64(try integer(UInt32.self)))
        case "C": try pushBytes(UInt64(try byte()))
        case "\u{8E}", "\u{96}": try pushBytes(try integer(UInt64.self))
        case "}": pushDictionary()
        case "d": try makeDictionary()
        case "]": pushList([])
        case "l": pushList(try popMark())
        case ")": pushTuple([])
        case "t": pushTuple(try popMark())
        case "\u{85}": try makeTuple(1)
        case "\u{86}": try makeTuple(2)
        case "\u{87}": try makeTuple(3)
        case "\u{8F}": stack.append(.set)
        case "\u{90}", "e": try append(try popMark())
        case "a": try append([try pop()])
        case "s":
            let value = try pop()
            try setItems([try pop(), value])
        case "u": try setItems(try popMark())
        case "q": try remember(Int(try byte()))
        case "r": try remember(Int(try integer(UInt32.self)))
        case "\u{94}": try remember(memo.count)
        case "h": try recall(Int(try byte()))
        case "j": try recall(Int(try integer(UInt32.self)))
        case "c":
            let module = try line()
            try pushGlobal(module, try line())
        case "\u{93}":  // STACK_GLOBAL
            guard case .string(let name) = try pop(), case .string(let module) = try pop() else {
                throw fail("a global whose name is no string")
            }
            try pushGlobal(module, name)
        case "Q": try loadPersistent()
        case "R": try reduce()
        case "b": try build()
        case "i":  // INST
            let module = try line()
            throw forbidden(module, try line())
        case "o", "\u{81}", "\u{92}":
            throw fail("makes an object, which no checkpoint needs", code: .forbiddenGlobal)
        default:
            offset -= 1
            throw fail("opcode 0x\(String(opcode, radix: 16)) is not allowed")
        }
    }

    private mutating func pushBytes(_ count: UInt64) throws(Failure) {
        try skip(count)
        stack.append(.bytes)
    }

    private mutating func pushList(_ items: [PickleValue]) {
        sequences.append(items)
        stack.append(.list(sequences.count - 1))
    }

    private mutating func pushDictionary() {
        dictionaries.append([])
        stack.append(.dictionary(dictionaries.count - 1))
    }

    private mutating func makeDictionary() throws(Failure) {
        let items = try popMark()
        pushDictionary()
        try setItems(items)
    }

    private mutating func makeTuple(_ count: Int) throws(Failure) {
        var items: [PickleValue] = []
        for _ in 0..<count { items.append(try pop()) }
        pushTuple(items.reversed())
    }

    private func forbidden(_ module: String, _ name: String) -> Failure {
        fail("\(module).\(name) is not allowed", code: .forbiddenGlobal)
    }

    private mutating func pushGlobal(_ module: String, _ name: String) throws(Failure) {
        // A dotted name could reach an attribute of an allowed one.
        guard !name.contains("."), let global = PickleGlobal.allowed["\(module).\(name)"] else {
            throw forbidden(module, name)
        }
        stack.append(.global(global))
    }

    /// BUILD sets attributes. `state_dict()` leaves `_metadata` on an OrderedDict; it is dropped.
    private mutating func build() throws(Failure) {
        guard case .dictionary = try pop() else { throw fail("sets a state that is no dict") }
        guard case .dictionary = try top() else { throw fail("sets attributes of \(try top().kind)") }
    }
}
