import Foundation

/// A bar with percent and remaining time on a terminal; in a pipe, one line for every tenth of the way.
struct ProgressBar {
    private let label: String
    private let terminal: Bool
    private var lastTenth = -1

    init(label: String, terminal: Bool = Console.errorIsTerminal) {
        self.label = label
        self.terminal = terminal
    }

    /// - Parameters:
    ///   - fraction: 0 to 1.
    ///   - remaining: seconds, or nil when not known.
    ///   - detail: what runs just now: "step 2 of 4".
    mutating func update(fraction: Double, remaining: Double?, detail: String) {
        let line = Self.line(label: label, fraction: fraction, remaining: remaining, detail: detail)
        if terminal {
            Console.errorText("\r\u{1B}[K" + line)
        } else {
            let tenth = Int(fraction * 10)
            guard tenth > lastTenth else { return }
            lastTenth = tenth
            Console.error(line)
        }
    }

    /// Ends the bar's line.
    func finish() {
        if terminal { Console.errorText("\n") }
    }

    /// "cat  [########------------]  40 %  step 2 of 4  ETA 12 s".
    static func line(label: String, fraction: Double, remaining: Double?, detail: String) -> String {
        let share = min(max(fraction, 0), 1)
        let filled = Int(share * 20)
        let bar = String(repeating: "#", count: filled) + String(repeating: "-", count: 20 - filled)
        var parts = ["\(label)  [\(bar)] \(String(format: "%3d", Int(share * 100))) %"]
        if !detail.isEmpty { parts.append(detail) }
        if let remaining, share < 1 { parts.append("ETA \(duration(remaining))") }
        return parts.joined(separator: "  ")
    }

    /// "8 s", "2 min 05 s", "1 h 12 min".
    static func duration(_ seconds: Double) -> String {
        let whole = Int(max(seconds, 0).rounded(.up))
        if whole < 60 { return "\(whole) s" }
        if whole < 3600 { return "\(whole / 60) min \(String(format: "%02d", whole % 60)) s" }
        return "\(whole / 3600) h \(whole % 3600 / 60) min"
    }
}
