import CPUBackend
import Foundation
import SelfTest
import TestSupport
import Testing

/// The golden values, and what the self-test says about folders it cannot trust.
struct SelfTestTests {
    private static let backend = CPUBackend(threads: 1)

    private func run(_ folder: URL) -> (lines: [SelfTest.Line], summary: SelfTest.Summary) {
        var lines: [SelfTest.Line] = []
        let summary = SelfTest.run(reference: folder, backend: Self.backend) { lines.append($0) }
        return (lines, summary)
    }

    @Test(arguments: [
        "checkpoints", "dit", "dit_sla", "image", "int8_linear", "noise", "pipeline", "sagesla", "sampler", "sla",
        "tokenizer", "umt5", "vae",
    ])
    func goldenValues(kind: String) {
        let (lines, summary) = run(goldenFolder.appending(path: kind))
        #expect(summary.passed > 0)
        #expect(lines.filter { !$0.passed }.map(\.description) == [])
        #expect(summary.passed + summary.failed == lines.count)
    }

    /// A copy of one golden kind whose `cases.json` was changed.
    private func changed(_ kind: String, _ change: (String) -> String) throws -> (ScratchFolder, URL) {
        let scratch = try ScratchFolder()
        let folder = scratch.url.appending(path: kind)
        try FileManager.default.copyItem(at: goldenFolder.appending(path: kind), to: folder)
        let file = folder.appending(path: "cases.json")
        let text = try String(contentsOf: file, encoding: .utf8)
        let changed = change(text)
        #expect(changed != text)
        try Data(changed.utf8).write(to: file)
        return (scratch, folder)
    }

    @Test func toleranceComesFromTheFile() throws {
        let (scratch, folder) = try changed("vae") {
            $0.replacingOccurrences(of: "\"tol_f32\": 0.0001", with: "\"tol_f32\": 1e-12")
        }
        let (_, summary) = run(folder)
        #expect(summary.passed == 0 && summary.failed > 0)
        withExtendedLifetime(scratch) {}
    }

    @Test func missingFileUnknownKindAndUnknownFormFail() throws {
        let missing = try changed("umt5") { $0.replacingOccurrences(of: "len_1.safetensors", with: "gone.safetensors") }
        #expect(run(missing.1).lines.contains { !$0.passed && $0.detail.contains("gone.safetensors") })

        let unknown = try changed("sampler") {
            $0.replacingOccurrences(of: "\"section\": \"sampler\"", with: "\"section\": \"dance\"")
        }
        #expect("\(run(unknown.1).summary)" == "0 passed, 1 failed")

        let form = try changed("vae") { $0.replacingOccurrences(of: "\"op\": \"decode\"", with: "\"op\": \"dream\"") }
        #expect(run(form.1).lines.contains { !$0.passed && $0.detail.contains("dream") })

        let empty = try ScratchFolder()
        #expect("\(run(empty.url).summary)" == "0 passed, 1 failed")
        withExtendedLifetime([missing.0, unknown.0, form.0]) {}
    }

    @Test func wholeFolderCountsEveryKind() {
        let (lines, summary) = run(goldenFolder)
        #expect(Set(lines.map(\.kind)).count == 13)
        #expect(summary.failed == 0)
        #expect("\(summary)" == "\(summary.passed) passed, 0 failed")
    }
}
