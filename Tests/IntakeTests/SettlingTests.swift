import Testing

@testable import Intake

@Suite("When a file is complete")
struct SettlingTests {
    /// A file that a test moves by hand.
    private struct Fake {
        var path: RelativePath = "x.png"
        var identity = FileIdentity(device: 1, inode: 10, size: 0, modified: 0, changed: 0, blocks: 0)

        var observed: ObservedFile { ObservedFile(path: path, identity: identity) }

        /// As a write at that time would leave it.
        mutating func write(size: Int64, blocks: Int64, at now: Double) {
            identity.size = size
            identity.blocks = blocks
            identity.modified = Int64(now * 1e9)
            identity.changed = Int64(now * 1e9)
        }
    }

    private let complete = FileProbe.Finding(.complete, knowsWriters: true)
    private let writing = FileProbe.Finding(.beingWritten, knowsWriters: true)

    private func missing(_ reason: String) -> FileProbe.Finding {
        .init(.incomplete(reason: reason), knowsWriters: true)
    }

    @Test("behaviour 1: a Windows-style copy is accepted once, after its last close")
    func windowsCopy() {
        var settling = Settling(options: .init(quietPeriod: 2))
        var file = Fake()
        var accepted = 0
        var now = 0.0
        // Full size at once, then blocks; the client holds it open and pauses longer than the quiet period.
        file.write(size: 1 << 20, blocks: 0, at: 0)
        settling.observe(file.observed, at: now)
        for step in 1...8 {
            now = Double(step) * 3
            for due in settling.due(at: now) { settling.report(writing, for: due, at: now) }
            #expect(settling.state(of: file.path) != .ready)
            file.write(size: 1 << 20, blocks: Int64(step) * 256, at: now)
            settling.observe(file.observed, at: now)
        }
        // The old time is set last; the size never moved.
        file.identity.modified = -1_000_000_000
        file.identity.changed += 1
        settling.observe(file.observed, at: 25)
        for tick in 0..<40 {
            now = 25 + Double(tick) * 0.5
            settling.observe(file.observed, at: now)
            for due in settling.due(at: now) {
                #expect(now >= 27)
                if settling.report(complete, for: due, at: now) == .ready { accepted += 1 }
            }
        }
        #expect(accepted == 1)
        #expect(settling.nextDeadline == nil)
    }

    @Test("behaviour 2: a cut copy waits as incomplete; copying again is accepted once")
    func cutCopy() {
        var settling = Settling(options: .init(quietPeriod: 2, incompleteTimeout: 100))
        var file = Fake()
        file.write(size: 1 << 20, blocks: 8, at: 0)
        settling.observe(file.observed, at: 0)
        #expect(settling.due(at: 1.9).isEmpty)
        for now in [2.0, 6, 14, 30] {
            for due in settling.due(at: now) { settling.report(missing("a hole"), for: due, at: now) }
            #expect(settling.state(of: file.path) == .incomplete(reason: "a hole", deadline: 102))
        }
        // In place, same inode, same size.
        file.write(size: 1 << 20, blocks: 2048, at: 50)
        #expect(settling.observe(file.observed, at: 50) == .settling)
        #expect(settling.due(at: 52) == [file.observed])
        #expect(settling.report(complete, for: file.observed, at: 52) == .ready)
        #expect(settling.due(at: 1000).isEmpty)
    }

    @Test("an incomplete file is rejected when its time is over, and lives again when it is copied again")
    func timeout() throws {
        var settling = Settling(options: .init(quietPeriod: 2, incompleteTimeout: 60))
        var file = Fake()
        settling.observe(file.observed, at: 0)
        settling.report(missing("the file is empty"), for: try #require(settling.due(at: 2).first), at: 2)
        var now = 2.0
        while case .incomplete = settling.state(of: file.path), now < 1000 {
            now = try #require(settling.nextDeadline)
            for due in settling.due(at: now) { settling.report(missing("the file is empty"), for: due, at: now) }
        }
        #expect(now == 62)
        #expect(
            settling.state(of: file.path)
                == .rejected(reason: "the file is empty", hint: "Copy the file here again, in full."))
        #expect(settling.nextDeadline == nil)
        #expect(settling.observe(file.observed, at: 70) != .settling)
        file.write(size: 5, blocks: 8, at: 80)
        #expect(settling.observe(file.observed, at: 80) == .settling)
    }

    @Test("behaviour 3: create, close at 0 bytes, reopen, write: accepted once")
    func finderCopy() {
        var settling = Settling(options: .init(quietPeriod: 2))
        var file = Fake()
        var accepted = 0
        for tick in 0..<40 {
            let now = Double(tick) * 0.5
            if tick == 8 { file.write(size: 500, blocks: 8, at: now) }
            settling.observe(file.observed, at: now)
            for due in settling.due(at: now) {
                let finding = due.identity.size == 0 ? missing("the file is empty") : complete
                if settling.report(finding, for: due, at: now) == .ready { accepted += 1 }
            }
        }
        #expect(accepted == 1)
    }

    @Test("behaviour 4: a file held open for writing is never accepted, however quiet")
    func heldOpen() {
        var settling = Settling(options: .init(quietPeriod: 2, incompleteTimeout: 10))
        var file = Fake()
        file.write(size: 500, blocks: 8, at: 0)
        settling.observe(file.observed, at: 0)
        var looks = 0
        for tick in 0..<10_000 {
            let now = Double(tick)
            for due in settling.due(at: now) {
                looks += 1
                #expect(settling.report(writing, for: due, at: now) == .beingWritten)
            }
        }
        #expect(looks > 1000)
        #expect(settling.report(complete, for: file.observed, at: 10_001) == .ready)
    }

    @Test("behaviour 5: a renamed file settles under its new name")
    func renamed() {
        var settling = Settling()
        var file = Fake(path: "x.png.part")
        file.write(size: 5, blocks: 8, at: 0)
        settling.observe(file.observed, at: 0)
        file.path = "x.png"
        settling.observe(file.observed, at: 1)
        #expect(settling.retain(["x.png"]) == ["x.png.part"])
        #expect(settling.due(at: 3).map(\.path) == ["x.png"])
    }

    @Test("behaviour 6: opening without changing, and blocks moved later, leave an accepted file alone")
    func untouched() {
        var settling = Settling()
        var file = Fake()
        file.write(size: 500, blocks: 8, at: 0)
        settling.observe(file.observed, at: 0)
        settling.report(complete, for: file.observed, at: 2)
        #expect(settling.observe(file.observed, at: 10) == .ready)
        file.identity.blocks = 1
        #expect(settling.observe(file.observed, at: 20) == .ready)
        #expect(settling.due(at: 100).isEmpty)
        // The same size and the same old time, but written: only ctime tells.
        file.identity.changed += 1
        #expect(settling.observe(file.observed, at: 200) == .settling)
        #expect(settling.due(at: 202).count == 1)
    }

    @Test("blocks that still grow are movement before acceptance")
    func blocks() {
        var settling = Settling(options: .init(quietPeriod: 2))
        var file = Fake()
        file.write(size: 1 << 20, blocks: 8, at: 0)
        settling.observe(file.observed, at: 0)
        file.identity.blocks = 16
        settling.observe(file.observed, at: 1.5)
        #expect(settling.due(at: 2).isEmpty)
        #expect(settling.due(at: 3.5).count == 1)
    }

    @Test("without a lease the wait is longer")
    func noLease() {
        var settling = Settling(options: .init(quietPeriod: 2, quietPeriodWithoutLease: 10))
        let file = Fake()
        settling.observe(file.observed, at: 0)
        let unsure = FileProbe.Finding(.complete, knowsWriters: false)
        #expect(settling.report(unsure, for: file.observed, at: 2) == .settling)
        #expect(settling.nextDeadline == 10)
        #expect(settling.due(at: 9).isEmpty)
        #expect(settling.report(unsure, for: file.observed, at: 10) == .ready)
    }

    @Test("findings about an older state, and about unknown files, are passed over")
    func stale() {
        var settling = Settling()
        var file = Fake()
        settling.observe(file.observed, at: 0)
        let old = file.observed
        file.write(size: 9, blocks: 8, at: 1)
        settling.observe(file.observed, at: 1)
        #expect(settling.report(complete, for: old, at: 2) == .settling)
        settling.forget(file.path)
        #expect(settling.report(complete, for: file.observed, at: 3) == nil)
        #expect(settling.state(of: file.path) == nil)
    }

    @Test("broken, changed, gone, unsettled, accepted from the ledger")
    func others() {
        var settling = Settling(options: .init(quietPeriod: 2))
        let file = Fake()
        settling.observe(file.observed, at: 0)
        #expect(settling.report(.init(.changed, knowsWriters: true), for: file.observed, at: 2) == .settling)
        #expect(settling.nextDeadline == 4)
        let broken = FileProbe.Finding(.broken(reason: "no picture", hint: "Save it as PNG."), knowsWriters: true)
        #expect(
            settling.report(broken, for: file.observed, at: 4)
                == .rejected(reason: "no picture", hint: "Save it as PNG."))
        #expect(settling.nextDeadline == nil)
        settling.accept(file.observed, at: 5)
        #expect(settling.state(of: file.path) == .ready)
        settling.unsettle(file.path, at: 6)
        #expect(settling.nextDeadline == 8)
        #expect(settling.report(.init(.gone, knowsWriters: true), for: file.observed, at: 8) == nil)
        #expect(settling.states.isEmpty)
    }

    @Test("forgetting is bounded by the folder that was scanned")
    func retain() {
        var settling = Settling()
        for path in ["a/x", "a/b/y", "ab/z"] { settling.observe(Fake(path: RelativePath(path)).observed, at: 0) }
        #expect(settling.retain(["a/x"], within: "a") == ["a/b/y"])
        #expect(Set(settling.states.keys) == ["a/x", "ab/z"])
    }

    @Test("the oldest goes first")
    func order() {
        var settling = Settling()
        for (index, name) in ["c", "a", "b"].enumerated() {
            settling.observe(Fake(path: RelativePath(name)).observed, at: Double(index) / 10)
        }
        #expect(settling.due(at: 5).map(\.path.string) == ["c", "a", "b"])
    }
}

extension RelativePath: ExpressibleByStringLiteral {
    public init(stringLiteral value: String) {
        self.init(value)
    }
}
