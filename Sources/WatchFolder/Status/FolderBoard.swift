import Foundation

/// The texts of STATUS.txt in the folders that people open: each folder's part of the whole, and which of them are new.
struct FolderBoard {
    /// Finished jobs that one folder's text lists.
    static let listedFinished = 20

    /// Newest first. Kept here, because the whole lists only the last of all folders together.
    private var finished: [String: [ServiceStatus.Finished]] = [:]
    private var written: [String: String] = [:]

    /// Finished jobs of an earlier run, newest first.
    init(finished: [ServiceStatus.Finished] = []) { note(finished) }

    private mutating func note(_ jobs: [ServiceStatus.Finished]) {
        for job in jobs.reversed() where !(finished[job.folder]?.contains { $0.id == job.id } ?? false) {
            finished[job.folder, default: []].insert(job, at: 0)
            if finished[job.folder]!.count > Self.listedFinished { finished[job.folder]!.removeLast() }
        }
    }

    /// - Returns: folder ("" for the inbox) and text of each that is not as it was last written.
    mutating func news(_ status: ServiceStatus, utcOffset: Int) -> [(folder: String, text: String)] {
        note(status.finished)
        var busy = Set(written.keys).union(finished.keys)
        busy.formUnion((status.running + status.queued).map(\.folder))
        busy.formUnion(status.waiting.map { Self.folder(of: $0.path) })
        var news: [(folder: String, text: String)] = []
        for folder in busy.sorted() {
            let lines = StatusText.lines(part(of: status, in: folder), folder: folder, utcOffset: utcOffset)
            let body = lines.joined(separator: "\r\n") + "\r\n"
            guard written[folder] != body else { continue }
            written[folder] = body
            news.append((folder, StatusText.stamp(status, utcOffset: utcOffset) + body))
        }
        return news
    }

    private func part(of status: ServiceStatus, in folder: String) -> ServiceStatus {
        var part = status
        part.running = status.running.filter { $0.folder == folder }
        part.queued = status.queued.filter { $0.folder == folder }
        part.waiting = status.waiting.filter { Self.folder(of: $0.path) == folder }
        part.finished = finished[folder] ?? []
        return part
    }

    private static func folder(of path: String) -> String {
        path.split(separator: "/").dropLast().joined(separator: "/")
    }
}
