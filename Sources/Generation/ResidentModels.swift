/// Models on the device, kept between jobs for as long as there is room.
final class ResidentModels {
    private struct Entry {
        let key: String
        let bytes: Int
        /// In host memory, where that is apart.
        let hostBytes: Int
        let object: AnyObject
        var lastUse: Int
    }

    private var entries: [Entry] = []
    private var uses = 0

    var bytes: Int { entries.reduce(0) { $0 + $1.bytes } }
    var hostBytes: Int { entries.reduce(0) { $0 + $1.hostBytes } }

    func contains(_ key: String) -> Bool { entries.contains { $0.key == key } }

    /// The object under `key`, loaded if it is not there.
    ///
    /// - Parameters:
    ///   - expected: its bytes, as far as known before.
    ///   - workspace: what the job will need beside it.
    ///   - limit: bytes for everything; nil for no limit. What was used longest ago goes first.
    ///   - host: bytes of host memory it will take, and those there are for everything.
    ///   - load: returns the object and its bytes, on the device and in host memory.
    func take<T: AnyObject>(
        _ key: String, expected: Int, workspace: Int, limit: Int?, host: (expected: Int, limit: Int?) = (0, nil),
        load: () throws -> (T, bytes: Int, hostBytes: Int)
    ) throws -> T {
        uses += 1
        if let index = entries.firstIndex(where: { $0.key == key }), let object = entries[index].object as? T {
            entries[index].lastUse = uses
            makeRoom(for: workspace, limit: limit, sparing: key)
            return object
        }
        makeRoom(for: expected + workspace, limit: limit, sparing: key)
        makeRoom(for: host.expected, limit: host.limit, sparing: key, of: \.hostBytes)
        let (object, bytes, hostBytes) = try load()
        entries.append(Entry(key: key, bytes: bytes, hostBytes: hostBytes, object: object, lastUse: uses))
        return object
    }

    /// Lets go of what was used longest ago until `needed` more bytes fit; objects in use elsewhere stay there.
    func makeRoom(for needed: Int, limit: Int?, keeping kept: Set<String>) {
        guard let limit else { return }
        while bytes + needed > limit {
            let candidates = entries.filter { !kept.contains($0.key) && $0.bytes > 0 }
            guard let oldest = candidates.min(by: { $0.lastUse < $1.lastUse }) else { return }
            entries.removeAll { $0.key == oldest.key }
        }
    }

    /// Lets go of everything.
    func removeAll() { entries = [] }

    private func makeRoom(
        for needed: Int, limit: Int?, sparing key: String, of amount: KeyPath<Entry, Int> = \.bytes
    ) {
        guard let limit else { return }
        while entries.reduce(0, { $0 + $1[keyPath: amount] }) + needed > limit {
            let candidates = entries.filter { $0.key != key && $0[keyPath: amount] > 0 }
            guard let oldest = candidates.min(by: { $0.lastUse < $1.lastUse }) else { return }
            entries.removeAll { $0.key == oldest.key }
        }
    }
}

/// A few results by key, the latest last.
struct RecentResults<Value> {
    private var entries: [(key: String, value: Value)] = []
    private let limit: Int

    init(limit: Int) { self.limit = limit }

    subscript(key: String) -> Value? {
        get { entries.last { $0.key == key }?.value }
        set {
            entries.removeAll { $0.key == key }
            if let newValue { entries.append((key, newValue)) }
            if entries.count > limit { entries.removeFirst() }
        }
    }
}
