import Foundation
import Rules

/// Hands notices to a webhook and to ntfy by way of curl, which brings TLS and proxies along.
///
/// Addresses, token and text reach curl on its standard input, never as arguments that other users could read.
struct NoticeDelivery: Sendable {
    struct Failure: Error, CustomStringConvertible {
        var target: String
        var reason: String
        var description: String { "\(target): \(reason)" }
    }

    var settings: ServiceConfiguration.Notices
    /// Directories that are searched for curl.
    var searchPath = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"

    var isOn: Bool { settings.webhook != nil || settings.ntfy != nil }

    /// - Returns: what went wrong, target by target; empty when everything arrived.
    func send(_ notice: Notice) -> [Failure] {
        var failures: [Failure] = []
        if let address = settings.webhook {
            attempt("webhook", &failures) {
                Self.request(address, headers: ["Content-Type: application/json"], body: try notice.json())
            }
        }
        if let address = settings.ntfy {
            attempt("ntfy", &failures) {
                var headers = ["Title: Dropreel: \(notice.title)", "Content-Type: text/plain; charset=utf-8"]
                if !notice.failed.isEmpty { headers.append("Priority: high") }
                if let token = try token() { headers.append("Authorization: Bearer \(token)") }
                return Self.request(address, headers: headers, body: notice.text)
            }
        }
        return failures
    }

    private func attempt(_ target: String, _ failures: inout [Failure], request: () throws -> String) {
        do {
            try post(try request())
        } catch let failure as Failure {
            failures.append(Failure(target: target, reason: failure.reason))
        } catch {
            failures.append(Failure(target: target, reason: "\(error)"))
        }
    }

    private func token() throws -> String? {
        guard let file = settings.ntfyTokenFile else { return nil }
        guard let text = try? String(contentsOfFile: file, encoding: .utf8),
            let line = text.split(whereSeparator: \.isNewline).first
        else { throw Failure(target: "ntfy", reason: "the token file \(file) cannot be read") }
        return line.trimmingCharacters(in: .whitespaces)
    }

    /// A configuration of curl, as `curl --config` reads it.
    static func request(_ address: String, headers: [String], body: String) -> String {
        let lines =
            ["url = \(quoted(address))", "request = \"POST\"", "data-raw = \(quoted(body))"]
            + headers.map { "header = \(quoted($0.split(whereSeparator: \.isNewline).joined(separator: " ")))" }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case "\0": continue
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    private func post(_ request: String) throws {
        guard
            let curl = searchPath.split(separator: ":").map({ String($0) + "/curl" })
                .first(where: { (path: String) in access(path, X_OK) == 0 })
        else { throw Failure(target: "", reason: "curl is not installed") }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: curl)
        process.arguments = [
            "--disable", "--silent", "--show-error", "--fail", "--max-time", "20", "--retry", "2", "--proto",
            "=http,https", "--output", "/dev/null", "--config", "-",
        ]
        let (input, errors) = (Pipe(), Pipe())
        process.standardInput = input
        process.standardOutput = FileHandle.nullDevice
        process.standardError = errors
        try process.run()
        try? input.fileHandleForWriting.write(contentsOf: Data(request.utf8))
        try? input.fileHandleForWriting.close()
        let said = (try? errors.fileHandleForReading.readToEnd()) ?? nil
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            let text = String(decoding: said ?? Data(), as: UTF8.self)
            let line = text.split(whereSeparator: \.isNewline).last.map(String.init)
            throw Failure(target: "", reason: line ?? "curl ended with \(process.terminationStatus)")
        }
    }
}
