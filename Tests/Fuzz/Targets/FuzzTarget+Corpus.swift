import Foundation

extension FuzzTarget {
    /// Inputs that runs guided by coverage found worth keeping, one a line in hexadecimal digits.
    private var corpusFile: URL {
        URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Corpus/\(rawValue).hex")
    }

    /// Bytes of all kept inputs of one target.
    private static let corpusLimit = 4_096
    private static let longestKept = 256

    /// The inputs kept in the repository; empty where there is no such file.
    public func corpus() -> [[UInt8]] {
        let text = (try? String(contentsOf: corpusFile, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").map { line in
            let digits = Array(line.utf8)
            return stride(from: 0, to: digits.count - 1, by: 2).map { index in
                UInt8(String(decoding: digits[index...(index + 1)], as: UTF8.self), radix: 16) ?? 0
            }
        }
    }

    /// Writes the sound inputs and those of the corpus, a file each, for libFuzzer to begin with.
    public func writeInputs(to folder: URL) throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        for (index, input) in (seeds + corpus()).enumerated() {
            try Data(input).write(to: folder.appending(path: "input-\(index)"))
        }
    }

    /// Replaces the kept inputs by some of a folder that libFuzzer wrote: short and long ones evenly, as many as fit.
    public func keep(_ folder: URL) throws {
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        let inputs = try files.map { [UInt8](try Data(contentsOf: $0)) }
            .filter { !$0.isEmpty && $0.count <= Self.longestKept }
            .sorted { ($0.count, $0.hexadecimal) < ($1.count, $1.hexadecimal) }
        var kept = inputs
        var step = 1
        while kept.reduce(0, { $0 + $1.count }) > Self.corpusLimit {
            step += 1
            kept = stride(from: 0, to: inputs.count, by: step).map { inputs[$0] }
        }
        try kept.map { $0.hexadecimal + "\n" }.joined().write(to: corpusFile, atomically: true, encoding: .utf8)
    }
}

extension [UInt8] {
    fileprivate var hexadecimal: String { map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
}
