import Foundation

/// Measurements of one run, for people and for scripts.
public struct MeasurementTable: Codable, Sendable {
    public var device: String
    /// GFLOP/s of OpenBLAS's sgemm in this run.
    public var sgemmRate: Double
    public var rows: [Measurement]

    public init(device: String, sgemmRate: Double, rows: [Measurement] = []) {
        self.device = device
        self.sgemmRate = sgemmRate
        self.rows = rows
    }

    /// Adds a row and its share of the sgemm rate.
    public mutating func add(_ row: Measurement) {
        var row = row
        row.shareOfSgemm = row.gigaflops.map { $0 / sgemmRate }
        rows.append(row)
    }

    /// One line a measurement, columns aligned.
    public var text: String {
        let header = ["what", "shape", "seconds", "CPU s", "GFLOP/s", "of sgemm"]
        let body = rows.map { row in
            [
                row.name, row.shape, Self.seconds(row.seconds), Self.seconds(row.processorSeconds),
                row.gigaflops.map { String(format: "%.1f", $0) } ?? "",
                row.shareOfSgemm.map { String(format: "%.0f %%", $0 * 100) } ?? "",
            ]
        }
        let widths = header.indices.map { column in ([header] + body).map { $0[column].count }.max() ?? 0 }
        let lines = ([header] + body).map { cells in
            cells.enumerated().map { column, cell in
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                return column < 2 ? cell + padding : padding + cell
            }.joined(separator: "  ").trimmingCharacters(in: .whitespaces)
        }
        return ([device, String(format: "sgemm (OpenBLAS): %.1f GFLOP/s", sgemmRate), ""] + lines)
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
