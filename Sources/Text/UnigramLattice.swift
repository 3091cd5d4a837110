/// Splits words into the pieces of a unigram model with the highest total score.
///
/// Scores are summed in float64 from left to right; of equal paths the one found first stays, shorter pieces first.
/// A run of characters without a piece becomes one unknown token.
/// Source: tokenizers src/models/unigram/model.rs `encode_optimized`.
struct UnigramLattice: Sendable {
    private let scores: [Double]
    private let idOfPiece: [ArraySlice<UInt8>: Int32]
    private let trie: Trie
    private let unknownID: Int32
    private let unknownScore: Double
    /// The ids of the byte pieces `<0x00>`...`<0xFF>`; nil where unknown characters become unknown tokens.
    private let byteIDs: [Int32]?

    /// Below the lowest score by this much lies the score of an unknown character.
    private static let unknownPenalty = 10.0

    /// - Parameters:
    ///   - pieces: UTF-8 text and score of each id.
    ///   - byteFallback: unknown text becomes its bytes, where all of them have pieces.
    init(pieces: [(text: [UInt8], score: Float)], unknownID: Int32, byteFallback: Bool) {
        scores = pieces.map { Double($0.score) }
        var ids: [ArraySlice<UInt8>: Int32] = [:]
        ids.reserveCapacity(pieces.count)
        var trie = Trie()
        for (id, piece) in pieces.enumerated() where !piece.text.isEmpty {
            ids[piece.text[...]] = Int32(id)
            trie.insert(piece.text, Int32(id))
        }
        idOfPiece = ids
        self.trie = trie
        self.unknownID = unknownID
        unknownScore = (scores.min() ?? 0) - Self.unknownPenalty
        let bytes = (0..<256).map { byte in
            let digits = String(byte, radix: 16, uppercase: true)
            return ids[Array("<0x\(byte < 16 ? "0" : "")\(digits)>".utf8)[...]]
        }
        byteIDs = byteFallback && !bytes.contains(nil) ? bytes.compactMap(\.self) : nil
    }

    private struct Node {
        var id: Int32 = -1
        var score = 0.0
        var start = -1
    }

    /// The ids of one word.
    func encode(_ word: ArraySlice<UInt8>) -> [Int32] {
        let word = Array(word)
        var ends = [Node](repeating: Node(), count: word.count + 1)
        func offer(_ end: Int, _ id: Int32, _ score: Double, from start: Int) {
            if ends[end].start < 0 || score > ends[end].score { ends[end] = Node(id: id, score: score, start: start) }
        }
        var start = 0
        while start < word.count {
            let soFar = ends[start].score
            let width = min(Self.characterWidth(word[start]), word.count - start)
            var hasSingle = false
            trie.forEachPrefix(of: word[start...]) { length, id in
                offer(start + length, id, scores[Int(id)] + soFar, from: start)
                if length == width { hasSingle = true }
            }
            if !hasSingle { offer(start + width, unknownID, unknownScore + soFar, from: start) }
            start += width
        }
        return collect(word, ends)
    }

    /// Walks the best path backwards, joining neighbouring unknown characters.
    private func collect(_ word: [UInt8], _ ends: [Node]) -> [Int32] {
        var ids: [[Int32]] = []
        var end = word.count
        var unknownEnd: Int?
        func closeUnknown(at start: Int) {
            guard let last = unknownEnd else { return }
            ids.append(unknown(word[start..<last]))
            unknownEnd = nil
        }
        while end > 0 {
            let node = ends[end]
            if node.id == unknownID {
                unknownEnd = unknownEnd ?? end
            } else {
                closeUnknown(at: end)
                ids.append([node.id])
            }
            end = node.start
        }
        closeUnknown(at: 0)
        return ids.reversed().flatMap(\.self)
    }

    private func unknown(_ text: ArraySlice<UInt8>) -> [Int32] {
        if let id = idOfPiece[text] { return [id] }
        guard let byteIDs else { return [unknownID] }
        return text.map { byteIDs[Int($0)] }
    }

    private static func characterWidth(_ lead: UInt8) -> Int {
        switch lead {
        case 0xF0...: 4
        case 0xE0...: 3
        case 0xC0...: 2
        default: 1
        }
    }
}

/// A byte trie; the children of a node are a linked list, which is short but near the root.
struct Trie: Sendable {
    private struct Node: Sendable {
        var byte: UInt8
        var id: Int32 = -1
        var child: Int32 = -1
        var sibling: Int32 = -1
    }

    private var nodes: [Node] = []
    /// The nodes of the first byte, by value.
    private var roots = [Int32](repeating: -1, count: 256)

    mutating func insert(_ key: [UInt8], _ id: Int32) {
        var current = roots[Int(key[0])]
        if current < 0 {
            current = append(key[0])
            roots[Int(key[0])] = current
        }
        for byte in key.dropFirst() {
            var child = nodes[Int(current)].child
            while child >= 0, nodes[Int(child)].byte != byte { child = nodes[Int(child)].sibling }
            if child < 0 {
                child = append(byte)
                nodes[Int(child)].sibling = nodes[Int(current)].child
                nodes[Int(current)].child = child
            }
            current = child
        }
        nodes[Int(current)].id = id
    }

    private mutating func append(_ byte: UInt8) -> Int32 {
        nodes.append(Node(byte: byte))
        return Int32(nodes.count - 1)
    }

    /// Calls `body` with length and id of every key that `bytes` starts with, shortest first.
    func forEachPrefix(of bytes: ArraySlice<UInt8>, _ body: (Int, Int32) -> Void) {
        var current: Int32 = -1
        var length = 0
        for byte in bytes {
            var next = current < 0 ? roots[Int(byte)] : nodes[Int(current)].child
            if current >= 0 { while next >= 0, nodes[Int(next)].byte != byte { next = nodes[Int(next)].sibling } }
            guard next >= 0 else { return }
            current = next
            length += 1
            if nodes[Int(current)].id >= 0 { body(length, nodes[Int(current)].id) }
        }
    }
}
