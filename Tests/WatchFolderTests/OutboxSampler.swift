import Foundation
import Synchronization

@testable import WatchFolder

/// Looks into an outbox all the time, as a person who opens whatever appears at the moment it appears.
final class OutboxSampler: Sendable {
    private let outbox: URL
    private let isStopping = Atomic<Bool>(false)
    private let ended = DispatchSemaphore(value: 0)
    private let found = Mutex<[String]>([])
    private let opened = Atomic<Int>(0)

    init(_ outbox: URL) {
        self.outbox = outbox
        let thread = Thread { [self] in
            var seen: Set<String> = []
            while !isStopping.load(ordering: .relaxed) {
                look(&seen)
                usleep(500)
            }
            look(&seen)
            ended.signal()
        }
        thread.start()
    }

    /// - Returns: what should never have been seen.
    func stop() -> [String] {
        isStopping.store(true, ordering: .relaxed)
        ended.wait()
        return found.withLock { $0 }
    }

    /// Files opened so far.
    var count: Int { opened.load(ordering: .relaxed) }

    private func look(_ seen: inout Set<String>) {
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: outbox.path) else { return }
        for name in names where !seen.contains(name) {
            // One that was taken back meanwhile is looked at when it comes again.
            guard let bytes = try? Data(contentsOf: outbox.appendingPathComponent(name)) else { continue }
            seen.insert(name)
            opened.wrappingAdd(1, ordering: .relaxed)
            if !Self.isWhole(name, bytes) { found.withLock { $0.append("seen in part or out of place: \(name)") } }
        }
    }

    static func isWhole(_ name: String, _ bytes: Data) -> Bool {
        switch name.split(separator: ".").last {
        case "mp4": isWholeFilm(bytes)
        case "jpg": bytes.starts(with: Data("IMG ".utf8)) && bytes.suffix(3) == Data("END".utf8)
        case "json": (try? JSONDecoder().decode(JSONValue.self, from: bytes).objectValue?["id"]) != nil
        default: ["STATUS.txt", "log.jsonl"].contains(name)
        }
    }

    /// Films of the fake engine say the same 200 times.
    static func isWholeFilm(_ film: Data) -> Bool {
        guard film.starts(with: Data("film:".utf8)) else { return false }
        let lines = film.dropFirst("film:".utf8.count).split(separator: UInt8(ascii: "\n"))
        return lines.count == 200 && Set(lines).count == 1
    }
}
