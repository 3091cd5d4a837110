import Foundation
import Generation
import Media
import WatchFolder

/// Where workers leave latents until their films are safe: one file a job, of which only the latest are kept.
struct LatentsFolder {
    let url: URL
    /// Files of jobs that were never tried again.
    static let limit = 8

    init(_ url: URL) { self.url = url }

    /// The place for one job's latents, with what its film will say about itself.
    func place(for job: JobID, marks: VideoMarks, label: String) -> LatentsPlace {
        try? FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        prune()
        return LatentsPlace(
            url.appending(path: job.text + ".safetensors"),
            notes: [
                "comment": marks.comment, "dropreel": marks.dropreel, "aigc": marks.aigc, "xmp": marks.xmp,
                "label": label,
            ])
    }

    private func prune() {
        let key = URLResourceKey.contentModificationDateKey
        let files = (try? FileManager.default.contentsOfDirectory(at: url, includingPropertiesForKeys: [key])) ?? []
        let dated = files.map { ($0, (try? $0.resourceValues(forKeys: [key]).contentModificationDate) ?? .distantPast) }
        for (file, _) in dated.sorted(by: { $0.1 > $1.1 }).dropFirst(Self.limit) {
            try? FileManager.default.removeItem(at: file)
        }
    }
}

extension VideoMarks {
    /// Of latents that a worker left.
    init(notes: [String: String]) {
        self.init(
            comment: notes["comment"] ?? "", dropreel: notes["dropreel"] ?? "", aigc: notes["aigc"] ?? "",
            xmp: notes["xmp"] ?? "")
    }
}
