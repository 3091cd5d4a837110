import Foundation

/// Measurements of one run, for people and for scripts.
public struct MeasurementTable: Codable, Sendable {
    public var device: String
    /// OpenBLAS's sgemm in this run.
    public var sgemm: SgemmRate
    public var rows: [Measurement]

    public init(device: String, sgemm: SgemmRate, rows: [Measurement] = []) {
        self.device = device
        self.sgemm = sgemm
        self.rows = rows
    }

    /// Adds a row and its share of the sgemm rate.
    ///
    /// - Parameter rate: measured beside the row, because a busy machine does not stay equally busy; nil for the
    ///   table's own.
    public mutating func add(_ row: Measurement, beside rate: SgemmRate? = nil) {
        var row = row
        let rate = rate ?? sgemm
        row.shareOfSgemm = row.gigaflops.map { $0 / rate.gigaflops }
        if let operations = row.operations, row.processorSeconds > 0 {
            row.processorShareOfSgemm = operations / row.processorSeconds / 1e9 / rate.perProcessorSecond
        }
        rows.append(row)
    }

    /// One line a measurement, columns aligned.
    public var text: String {
        let header = ["what", "shape", "seconds", "CPU s", "GFLOP/s", "of sgemm", "by CPU s"]
        let body = rows.map { row in
            [
                row.name, row.shape, Self.seconds(row.seconds), Self.seconds(row.processorSeconds),
                row.gigaflops.map { String(format: "%.1f", $0) } ?? "",
                row.shareOfSgemm.map { String(format: "%.0f %%", $0 * 100) } ?? "",
                row.processorShareOfSgemm.map { String(format: "%.0f %%", $0 * 100) } ?? "",
            ]
        }
        let widths = header.indices.map { column in ([header] + body).map { $0[column].count }.max() ?? 0 }
        let lines = ([header] + body).map { cells in
            cells.enumerated().map { column, cell in
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                return column < 2 ? cell + padding : padding + cell
            }.joined(separator: "  ").trimmingCharacters(in: .whitespaces)
        }
        return ([device, sgemm.text, ""] + lines)
            .joined(separator: "\n") + "\n"
    }

    public func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        return try encoder.encode(self)
    }

    private static func seconds(_ value: Double) -> String {
        String(format: value < 0.01 ? "%.6f" : "%.4f", value)
    }
}

/// What OpenBLAS's sgemm reaches.
public struct SgemmRate: Codable, Sendable {
    /// 10^9 operations a second of wall-clock time.
    public var gigaflops: Double
    /// 10^9 operations a second of processor time.
    public var perProcessorSecond: Double

    var text: String {
        String(format: "sgemm (OpenBLAS): %.1f GFLOP/s, %.1f per CPU second", gigaflops, perProcessorSecond)
    }
}
