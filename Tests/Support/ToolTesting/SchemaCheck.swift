import Foundation

/// What of a tool's JSON Lines breaks their schema in docs/schema: one complaint a line, closed by the number of documents;
/// nil where python3-jsonschema is missing.
public func schemaReport(_ lines: String, schema: String) throws -> String? {
    let python = "/usr/bin/python3"
    guard FileManager.default.isExecutableFile(atPath: python),
        try runProgram(python, ["-c", "import jsonschema"]).exit == 0
    else {
        print("SKIPPED: no python3-jsonschema here: JSON is not compared with its schema \(schema)")
        return nil
    }
    let program = """
        import json, sys
        from jsonschema import Draft202012Validator
        schema = json.load(open(sys.argv[1]))
        Draft202012Validator.check_schema(schema)
        validator = Draft202012Validator(schema)
        count = 0
        for line in open(sys.argv[2], encoding="utf-8"):
            count += 1
            for error in validator.iter_errors(json.loads(line)):
                print(f"{count}: {error.json_path}: {error.message[:300]}")
        print(f"{count} documents")
        """
    let scratch = try Scratch()
    let result = try runProgram(
        python,
        [
            "-c", program, "\(repositoryFolder)/docs/schema/\(schema).schema.json",
            try scratch.write("lines", Array(lines.utf8)),
        ])
    return result.output + result.error
}

/// The complaints alone; empty when all fit and there was something to fit.
public func schemaComplaints(_ lines: String, schema: String) throws -> String? {
    guard let report = try schemaReport(lines, schema: schema) else { return nil }
    let parts = report.split(separator: "\n")
    guard parts.last?.hasSuffix(" documents") == true, parts.last != "0 documents" else { return report }
    return parts.dropLast().joined(separator: "\n")
}
